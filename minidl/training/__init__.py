"""Training: the loop and what belongs to it; sits on all of the package's other rooms."""

from minidl.training.callbacks import Callback, EarlyStopping, LearningRateSchedule
from minidl.training.checkpoint import Checkpoint
from minidl.training.diagnosis import NonFiniteError, StuckWarning
from minidl.training.history import History
from minidl.training.trainer import Trainer

__all__ = [
    "Callback",
    "Checkpoint",
    "EarlyStopping",
    "History",
    "LearningRateSchedule",
    "NonFiniteError",
    "StuckWarning",
    "Trainer",
]
