"""Training: the loop and what belongs to it."""

from minidl.training.callbacks import (
    BestModel,
    Callback,
    Checkpoint,
    EarlyStopping,
    LearningRateSchedule,
    ReduceOnPlateau,
    TensorBoard,
)
from minidl.training.history import History
from minidl.training.problem import Problem
from minidl.training.run import Run
from minidl.training.span import Span
from minidl.training.trainer import Trainer

__all__ = [
    "BestModel",
    "Callback",
    "Checkpoint",
    "EarlyStopping",
    "History",
    "LearningRateSchedule",
    "Problem",
    "ReduceOnPlateau",
    "Run",
    "Span",
    "TensorBoard",
    "Trainer",
]
