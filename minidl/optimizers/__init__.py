"""Optimizers: how parameters move along their gradients."""

from minidl.optimizers.adagrad import Adagrad
from minidl.optimizers.adam import Adam, AdamW
from minidl.optimizers.clipping import clip_gradient_norm, gradient_norm
from minidl.optimizers.groups import decay_groups
from minidl.optimizers.lion import Lion
from minidl.optimizers.nadam import NAdam
from minidl.optimizers.optimizer import Optimizer
from minidl.optimizers.rmsprop import RMSProp
from minidl.optimizers.sgd import SGD

__all__ = [
    "SGD",
    "Adagrad",
    "Adam",
    "AdamW",
    "Lion",
    "NAdam",
    "Optimizer",
    "RMSProp",
    "clip_gradient_norm",
    "decay_groups",
    "gradient_norm",
]
