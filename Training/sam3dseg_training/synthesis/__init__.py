"""Volumes that never were: label maps of made-up anatomy, and random appearances for them.

The precedent is SynthSeg (arXiv 2107.09559) for contrast, and SynthFM-3D (2026) for click models trained on nothing real.
"""
