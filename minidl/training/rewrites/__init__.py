"""Rewrites: functions from a Problem to one that computes the same thing better, or to itself where they do not apply.

The order counts: the dual form reads the samples as they are, and so comes before constant layers are applied.
Gradient accumulation, which the user asks for, is a rewrite of its own after all others.
"""

from typing import Literal

from minidl.training.problem import Problem
from minidl.training.rewrites.accumulation import accumulated
from minidl.training.rewrites.augmentation import augment_ahead
from minidl.training.rewrites.constant_inputs import apply_constant_layers
from minidl.training.rewrites.dual import dual_form
from minidl.training.rewrites.input_gradient import skip_input_gradient
from minidl.training.rewrites.logits import activation_before, through_logits
from minidl.training.rewrites.pooling import pool_before_relu

__all__ = ["accumulated", "activation_before", "rewritten", "through_logits"]


def rewritten(problem: Problem, dual: bool | Literal["auto"], epochs: int, weight_reads: int) -> Problem:
    """Return the problem after all rewrites.

    Arguments: `dual`, `epochs` and how often callbacks read the weights decide on the dual form, as for `Trainer.fit`.

    Raises: ValueError as the rewrites do.
    """
    problem = dual_form(through_logits(problem), dual, epochs, weight_reads)
    for rewrite in (pool_before_relu, apply_constant_layers, skip_input_gradient, augment_ahead):
        problem = rewrite(problem)
    return problem
