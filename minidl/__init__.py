"""minidl: a small, object-oriented deep-learning framework on NumPy alone."""

from minidl.layers import Dense, Flatten, ReLU, Rescale, Sigmoid
from minidl.losses import BinaryCrossEntropy, Loss
from minidl.metrics import accuracy, majority_baseline
from minidl.module import Buffer, Module, Parameter
from minidl.optimizers import SGD, Optimizer
from minidl.sequential import Sequential, mlp
from minidl.training import History, Trainer

__version__ = "0.1.0"

__all__ = [
    "SGD",
    "BinaryCrossEntropy",
    "Buffer",
    "Dense",
    "Flatten",
    "History",
    "Loss",
    "Module",
    "Optimizer",
    "Parameter",
    "ReLU",
    "Rescale",
    "Sequential",
    "Sigmoid",
    "Trainer",
    "accuracy",
    "majority_baseline",
    "mlp",
]
