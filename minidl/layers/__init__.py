"""The layers, one idea a file."""

from minidl.layers.activations import GELU, LeakyReLU, ReLU, Sigmoid, Tanh
from minidl.layers.batch_norm import BatchNorm
from minidl.layers.conv import Conv2D
from minidl.layers.dense import Dense
from minidl.layers.dropout import Dropout
from minidl.layers.inputs import Flatten, Rescale
from minidl.layers.layer_norm import LayerNorm
from minidl.layers.pooling import AveragePool2D, GlobalAveragePool2D, MaxPool2D
from minidl.layers.softmax import Softmax

__all__ = [
    "GELU",
    "AveragePool2D",
    "BatchNorm",
    "Conv2D",
    "Dense",
    "Dropout",
    "Flatten",
    "GlobalAveragePool2D",
    "LayerNorm",
    "LeakyReLU",
    "MaxPool2D",
    "ReLU",
    "Rescale",
    "Sigmoid",
    "Softmax",
    "Tanh",
]
