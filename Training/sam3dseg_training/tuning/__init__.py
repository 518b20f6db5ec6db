"""Fine-tuning: which parameters are trained, on what, and how the result becomes a file."""
