"""Pooling before ReLU: the largest of some rectified numbers is the rectified largest."""

from __future__ import annotations

from dataclasses import replace

from minidl.containers import Sequential
from minidl.layers import MaxPool1D, MaxPool2D, ReLU
from minidl.training.problem import Problem
from minidl.training.rewrites.layers import layers_of


def pool_before_relu(problem: Problem) -> Problem:
    """Put each ReLU behind the MaxPool1D or MaxPool2D that follows it, where it has fewer numbers to look at.

    Either way the gradient goes to the first pixel that is the largest, if that is above 0, and to none otherwise:
    results are the same to the bit.
    """
    layers = layers_of(problem.model)
    order = list(layers)
    for i in range(len(order) - 1):
        if type(order[i]) is ReLU and type(order[i + 1]) in (MaxPool1D, MaxPool2D):
            order[i], order[i + 1] = order[i + 1], order[i]  # and on past the next one, if that is one, too
    return problem if order == layers else replace(problem, model=Sequential(*order))
