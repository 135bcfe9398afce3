"""Augmentation ahead of its turn: batches that are read on another thread are augmented there, too."""

from __future__ import annotations

from dataclasses import replace

from minidl.training.generators import share_a_generator
from minidl.training.problem import Problem


def augment_ahead(problem: Problem) -> Problem:
    """Let batches that are read ahead be augmented there, where the same numbers are drawn in the same order.

    It applies to an `augment` that says `works_ahead`, as `minidl.data.Augment` does, and that draws from no generator
    of the model's layers, of the loss or of the metrics.
    """
    augment, others = problem.batches.augment, (problem.model, problem.loss, problem.optimizer, problem.metrics)
    if getattr(augment, "works_ahead", False) is not True or share_a_generator(augment, others):
        return problem
    return replace(problem, batches=problem.batches.augmenting_ahead())
