"""Volumes that never were: label maps of made-up anatomy, and random appearances for them.

The precedents are SynthSeg (arXiv 2107.09559) for contrast, and SynthFM-3D (2026) for click models that saw nothing
real in training.
"""
