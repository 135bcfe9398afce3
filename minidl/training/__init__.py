"""Training: the loop and what belongs to it."""

from minidl.training.callbacks import Callback, Checkpoint, EarlyStopping, LearningRateSchedule
from minidl.training.history import History
from minidl.training.problem import Problem
from minidl.training.run import Run
from minidl.training.trainer import Trainer

__all__ = [
    "Callback",
    "Checkpoint",
    "EarlyStopping",
    "History",
    "LearningRateSchedule",
    "Problem",
    "Run",
    "Trainer",
]
