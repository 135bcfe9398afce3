"""Losses: one number for how far predictions are from targets, and its gradient."""

from minidl.losses.binary_cross_entropy import BinaryCrossEntropy
from minidl.losses.hinge import Hinge
from minidl.losses.huber import Huber
from minidl.losses.loss import Loss
from minidl.losses.mean_absolute_error import MeanAbsoluteError
from minidl.losses.mean_squared_error import MeanSquaredError
from minidl.losses.softmax_cross_entropy import SoftmaxCrossEntropy
from minidl.losses.weighted import WeightedLoss

__all__ = [
    "BinaryCrossEntropy",
    "Hinge",
    "Huber",
    "Loss",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "SoftmaxCrossEntropy",
    "WeightedLoss",
]
