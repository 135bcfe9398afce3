"""Optimizers: how parameters move along their gradients."""

from minidl.optimizers.adam import Adam, AdamW
from minidl.optimizers.clipping import clip_gradient_norm, gradient_norm
from minidl.optimizers.optimizer import Optimizer
from minidl.optimizers.sgd import SGD

__all__ = ["SGD", "Adam", "AdamW", "Optimizer", "clip_gradient_norm", "gradient_norm"]
