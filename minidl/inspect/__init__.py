"""Inspect: looking inside a trained network, with NumPy and Pillow alone."""
