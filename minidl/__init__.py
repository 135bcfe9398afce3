"""minidl: a small, object-oriented deep-learning framework on NumPy alone."""

from minidl.archive import ModelFileError
from minidl.layers import (
    GELU,
    AveragePool2D,
    BatchNorm,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePool2D,
    LayerNorm,
    LeakyReLU,
    MaxPool2D,
    ReLU,
    Rescale,
    Sigmoid,
    Softmax,
    Tanh,
)
from minidl.losses import BinaryCrossEntropy, Loss, MeanSquaredError, SoftmaxCrossEntropy
from minidl.metrics import (
    accuracy,
    balanced_accuracy,
    confusion_counts,
    majority_baseline,
    precision,
    recall,
)
from minidl.model_file import load, load_metadata, save
from minidl.module import Module
from minidl.optimizers import SGD, Adam, AdamW, Optimizer, clip_gradient_norm
from minidl.parameter import Buffer, Parameter
from minidl.sequential import Sequential, mlp
from minidl.training import (
    Callback,
    Checkpoint,
    EarlyStopping,
    History,
    LearningRateSchedule,
    NonFiniteError,
    StuckWarning,
    Trainer,
)

__version__ = "0.1.0"

__all__ = [
    "GELU",
    "SGD",
    "Adam",
    "AdamW",
    "AveragePool2D",
    "BatchNorm",
    "BinaryCrossEntropy",
    "Buffer",
    "Callback",
    "Checkpoint",
    "Conv2D",
    "Dense",
    "Dropout",
    "EarlyStopping",
    "Flatten",
    "GlobalAveragePool2D",
    "History",
    "LayerNorm",
    "LeakyReLU",
    "LearningRateSchedule",
    "Loss",
    "MaxPool2D",
    "MeanSquaredError",
    "ModelFileError",
    "Module",
    "NonFiniteError",
    "Optimizer",
    "Parameter",
    "ReLU",
    "Rescale",
    "Sequential",
    "Sigmoid",
    "Softmax",
    "SoftmaxCrossEntropy",
    "StuckWarning",
    "Tanh",
    "Trainer",
    "accuracy",
    "balanced_accuracy",
    "clip_gradient_norm",
    "confusion_counts",
    "load",
    "load_metadata",
    "majority_baseline",
    "mlp",
    "precision",
    "recall",
    "save",
]
