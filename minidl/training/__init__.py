"""Training: the loop and what belongs to it; sits on all of the package's other rooms."""

from minidl.training.history import History
from minidl.training.trainer import Trainer

__all__ = ["History", "Trainer"]
