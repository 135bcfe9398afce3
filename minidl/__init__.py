"""minidl: a small, object-oriented deep-learning framework on NumPy alone."""

from typing import TYPE_CHECKING

from minidl._calls import streaming
from minidl._lazy import on_first_use
from minidl.containers import Masked, Parallel, Residual, Sequential, TransformerBlock
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
    ELU,
    GELU,
    GRU,
    LSTM,
    SELU,
    AveragePool1D,
    AveragePool2D,
    BatchNorm,
    Conv1D,
    Conv2D,
    ConvTranspose2D,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    GlobalAveragePool1D,
    GlobalAveragePool2D,
    GlobalMaxPool1D,
    GlobalMaxPool2D,
    GroupNorm,
    HardSwish,
    LayerNorm,
    LeakyReLU,
    LogSoftmax,
    MaxPool1D,
    MaxPool2D,
    Normalize,
    PositionalEmbedding,
    PReLU,
    ReLU,
    ReLU6,
    Rescale,
    RMSNorm,
    SelfAttention,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
    UpSample2D,
)
from minidl.losses import (
    BinaryCrossEntropy,
    Hinge,
    Huber,
    Loss,
    MeanAbsoluteError,
    MeanSquaredError,
    SoftmaxCrossEntropy,
    WeightedLoss,
)
from minidl.metrics import (
    Metric,
    accuracy,
    balanced_accuracy,
    confusion_counts,
    confusion_matrix,
    f1,
    majority_baseline,
    precision,
    recall,
)
from minidl.model_file import load, load_metadata, save
from minidl.models import convnet, lstm_classifier, mlp, resnet
from minidl.module import Module
from minidl.optimizers import (
    SGD,
    Adagrad,
    Adam,
    AdamW,
    Lion,
    NAdam,
    Optimizer,
    RMSProp,
    clip_gradient_norm,
    decay_groups,
)
from minidl.parameter import Buffer, Parameter
from minidl.training import (
    BestModel,
    Callback,
    Checkpoint,
    EarlyStopping,
    History,
    LearningRateSchedule,
    ReduceOnPlateau,
    Run,
    TensorBoard,
    Trainer,
)

if TYPE_CHECKING:
    from minidl.reports import ClassificationReport, classification_report

__version__ = "0.1.0"

__all__ = [
    "ELU", "GELU", "GRU", "LSTM", "SELU", "SGD", "Adagrad", "Adam", "AdamW", "AveragePool1D", "AveragePool2D",
    "BatchNorm", "BestModel", "BinaryCrossEntropy", "Buffer", "Callback", "Checkpoint", "ClassificationReport",
    "ContractError", "Conv1D", "Conv2D", "ConvTranspose2D", "Dense", "Dropout", "EarlyStopping", "Embedding",
    "Flatten", "GlobalAveragePool1D", "GlobalAveragePool2D", "GlobalMaxPool1D", "GlobalMaxPool2D", "GradientError",
    "GroupNorm", "HardSwish", "Hinge", "History", "Huber", "ImageFileError", "LayerInputError", "LayerNorm",
    "LeakyReLU", "LearningRateSchedule", "Lion", "LogSoftmax", "Loss", "Masked", "MaxPool1D", "MaxPool2D",
    "MeanAbsoluteError", "MeanSquaredError", "Metric", "ModelFileError", "Module", "NAdam", "NonFiniteError",
    "Normalize", "Optimizer", "PReLU", "Parallel", "Parameter", "PositionalEmbedding", "RMSNorm", "RMSProp", "ReLU",
    "ReLU6", "ReduceOnPlateau", "Rescale", "Residual", "Run", "SelfAttention", "Sequential", "SiLU", "Sigmoid",
    "Softmax", "SoftmaxCrossEntropy", "Softplus", "StuckWarning", "Tanh", "TensorBoard", "Trainer",
    "TransformerBlock", "UpSample2D", "WeightedLoss", "accuracy", "balanced_accuracy", "classification_report",
    "clip_gradient_norm", "confusion_counts", "confusion_matrix", "convnet", "decay_groups", "f1", "load",
    "load_metadata", "lstm_classifier", "majority_baseline", "mlp", "precision", "recall", "resnet", "save",
    "streaming",
]  # fmt: skip

__getattr__ = on_first_use(
    __name__, {"ClassificationReport": "minidl.reports", "classification_report": "minidl.reports"}
)
