"""The depthnet command."""
