"""Through logits: a network that ends in Sigmoid or Softmax is trained without it, on the loss of logits."""

from __future__ import annotations

from dataclasses import replace

from minidl.containers import Sequential
from minidl.layers import Sigmoid, Softmax
from minidl.losses import BinaryCrossEntropy, Loss, SoftmaxCrossEntropy
from minidl.module import Module
from minidl.training.problem import Problem
from minidl.training.rewrites.layers import computes_as, layers_of


def through_logits(problem: Problem) -> Problem:
    """Take the last layer off where the loss can do its work: the same mathematics, exact where it saturates.

    A network that ends in Sigmoid, trained on BinaryCrossEntropy of probabilities, becomes the layers before the
    Sigmoid and `BinaryCrossEntropy(from_logits=True)`. So does one that ends in Softmax, trained on
    SoftmaxCrossEntropy of probabilities. Any other pair stays as it is.
    """
    last = activation_before(problem.model, problem.loss)
    if last is None or not isinstance(problem.loss, (BinaryCrossEntropy, SoftmaxCrossEntropy)):
        return problem
    body = Sequential(*layers_of(problem.model)[:-1])
    return replace(problem, model=body, loss=problem.loss.of_logits(), activation=last)


def activation_before(model: Module, loss: Loss) -> Module | None:
    """Return the last layer of a network where it is the Sigmoid or Softmax that a loss of logits contains.

    Raises: ValueError where it is, and the loss takes logits already; and for Sigmoid before SoftmaxCrossEntropy, which
    could not reach a small loss.

    >>> from minidl import mlp
    >>> activation_before(mlp([2, 1]), BinaryCrossEntropy())
    Sigmoid()
    """
    layers = layers_of(model)
    last = layers[-1] if layers else model
    is_binary = type(loss) is BinaryCrossEntropy and computes_as(last, Sigmoid)
    is_softmax = type(loss) is SoftmaxCrossEntropy and computes_as(last, Softmax)
    if type(loss) is SoftmaxCrossEntropy and computes_as(last, Sigmoid):
        raise ValueError(
            f"{loss!r} takes the classes of one sample together, but the model ends in Sigmoid: leave it out"
        )
    if last is model or not (is_binary or is_softmax):
        return None
    if isinstance(loss, (BinaryCrossEntropy, SoftmaxCrossEntropy)) and loss.from_logits:
        raise ValueError(f"{loss!r} takes logits, but the model ends in {last!r}: leave one of the two out")
    return last
