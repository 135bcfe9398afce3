"""Through logits: a network that ends in Sigmoid, Softmax or LogSoftmax is trained without it, on its logits."""

from __future__ import annotations

from dataclasses import replace

from minidl.containers import Masked, Sequential
from minidl.layers import LogSoftmax, Sigmoid, Softmax
from minidl.losses import BinaryCrossEntropy, Hinge, Loss, SoftmaxCrossEntropy, WeightedLoss
from minidl.module import Module
from minidl.training.problem import Problem
from minidl.training.rewrites.layers import computes_as, last_layer, layers_of


def through_logits(problem: Problem) -> Problem:
    """Take the last layer off where the loss can do its work: the same mathematics, exact where it saturates.

    A network that ends in Sigmoid, trained on BinaryCrossEntropy of probabilities, becomes the layers before the
    Sigmoid and `BinaryCrossEntropy(from_logits=True)`. So does one that ends in Softmax, trained on
    SoftmaxCrossEntropy of probabilities, and one that ends in LogSoftmax, whose outputs are logits already, trained on
    SoftmaxCrossEntropy of logits. Any other pair stays as it is.
    """
    last = activation_before(problem.model, problem.loss)
    if last is None or not isinstance(problem.loss, (BinaryCrossEntropy, SoftmaxCrossEntropy, WeightedLoss)):
        return problem
    return replace(problem, model=_without_last(problem.model), loss=problem.loss.of_logits(), activation=last)


CONTAINED: dict[type[Loss], tuple[type[Module], ...]] = {
    BinaryCrossEntropy: (Sigmoid,),
    SoftmaxCrossEntropy: (Softmax, LogSoftmax),
}
"""The last layers whose work a loss of logits does."""


def activation_before(model: Module, loss: Loss) -> Module | None:
    """Return the last layer of a network where it is the activation that a loss of logits contains.

    Raises: ValueError where it is, and the loss does not take what it gives, which is logarithms of probabilities, and
    so logits, for LogSoftmax, and probabilities for the others; and for Sigmoid before SoftmaxCrossEntropy or Hinge,
    which could not reach a small loss.

    >>> from minidl import mlp
    >>> activation_before(mlp([2, 1]), BinaryCrossEntropy())
    Sigmoid()
    """
    if isinstance(loss, WeightedLoss):
        return activation_before(model, loss.loss)
    last = last_layer(model)
    if type(loss) is SoftmaxCrossEntropy and computes_as(last, Sigmoid):
        raise ValueError(
            f"{loss!r} takes the classes of one sample together, but the model ends in Sigmoid: leave it out"
        )
    if type(loss) is Hinge and computes_as(last, Sigmoid):
        raise ValueError(f"{loss!r} takes scores of either sign, but the model ends in Sigmoid: leave it out")
    contained = any(computes_as(last, kind) for kind in CONTAINED.get(type(loss), ()))
    if last is model or not contained or not isinstance(loss, (BinaryCrossEntropy, SoftmaxCrossEntropy)):
        return None
    if computes_as(last, LogSoftmax) and not loss.from_logits:
        raise ValueError(f"{loss!r} takes probabilities, but the model ends in {last!r}: use from_logits=True")
    if not computes_as(last, LogSoftmax) and loss.from_logits:
        raise ValueError(f"{loss!r} takes logits, but the model ends in {last!r}: leave one of the two out")
    return last


def _without_last(model: Module) -> Sequential:
    """Return a network without the layer that it ends in."""
    *before, last = layers_of(model)
    if type(last) is Masked:
        before.append(Masked(*_without_last(Sequential(*last)), padding=last.padding))
    return Sequential(*before)
