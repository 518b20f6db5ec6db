"""The module page and the training that it starts."""
