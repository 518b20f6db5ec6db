"""PyTorch, sample data, and going on after a restart."""
