"""Callbacks: what is to happen beside training."""

from minidl.training.callbacks.best_model import BestModel
from minidl.training.callbacks.callback import Callback
from minidl.training.callbacks.checkpoint import Checkpoint
from minidl.training.callbacks.early_stopping import EarlyStopping
from minidl.training.callbacks.learning_rate import LearningRateSchedule
from minidl.training.callbacks.reduce_on_plateau import ReduceOnPlateau
from minidl.training.callbacks.tensorboard import TensorBoard

__all__ = [
    "BestModel",
    "Callback",
    "Checkpoint",
    "EarlyStopping",
    "LearningRateSchedule",
    "ReduceOnPlateau",
    "TensorBoard",
]
