"""Callbacks: what is to happen beside training."""

from minidl.training.callbacks.callback import Callback
from minidl.training.callbacks.checkpoint import Checkpoint
from minidl.training.callbacks.early_stopping import EarlyStopping
from minidl.training.callbacks.learning_rate import LearningRateSchedule

__all__ = ["Callback", "Checkpoint", "EarlyStopping", "LearningRateSchedule"]
