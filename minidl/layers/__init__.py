"""The layers, one idea a file."""

from minidl.layers.activations import ReLU, Sigmoid
from minidl.layers.dense import Dense
from minidl.layers.inputs import Flatten, Rescale

__all__ = ["Dense", "Flatten", "ReLU", "Rescale", "Sigmoid"]
