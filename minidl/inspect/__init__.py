"""Inspect: looking inside a trained network, with NumPy and Pillow alone."""

from minidl.inspect.saliency import saliency
from minidl.inspect.weight_pictures import WeightPictures, weight_pictures

__all__ = ["WeightPictures", "saliency", "weight_pictures"]
