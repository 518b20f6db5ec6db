"""Headless training of the networks that the effect clicks with."""
