"""SAM-3D: all structures of a volume at once, without prompts."""
