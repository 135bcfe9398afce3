"""minidl: a small, object-oriented deep-learning framework on NumPy alone."""

from minidl.containers import Sequential
from minidl.errors import (
    ContractError,
    GradientError,
    ImageFileError,
    LayerInputError,
    ModelFileError,
    NonFiniteError,
    StuckWarning,
)
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
    Metric,
    accuracy,
    balanced_accuracy,
    confusion_counts,
    majority_baseline,
    precision,
    recall,
)
from minidl.model_file import load, load_metadata, save
from minidl.models import mlp
from minidl.module import Module
from minidl.optimizers import SGD, Adam, AdamW, Optimizer, clip_gradient_norm
from minidl.parameter import Buffer, Parameter
from minidl.training import (
    Callback,
    Checkpoint,
    EarlyStopping,
    History,
    LearningRateSchedule,
    Run,
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
    "ContractError",
    "Conv2D",
    "Dense",
    "Dropout",
    "EarlyStopping",
    "Flatten",
    "GlobalAveragePool2D",
    "GradientError",
    "History",
    "ImageFileError",
    "LayerInputError",
    "LayerNorm",
    "LeakyReLU",
    "LearningRateSchedule",
    "Loss",
    "MaxPool2D",
    "MeanSquaredError",
    "Metric",
    "ModelFileError",
    "Module",
    "NonFiniteError",
    "Optimizer",
    "Parameter",
    "ReLU",
    "Rescale",
    "Run",
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
