"""Make a model: scenes, networks, losses, training and export (torch)."""
