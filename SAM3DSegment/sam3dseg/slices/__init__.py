"""Models of slices: pictures of a volume, their prompts, and masks carried from slice to slice."""
