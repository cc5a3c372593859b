"""Metric depth from motion for drones."""
