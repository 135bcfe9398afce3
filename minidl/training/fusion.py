"""What is trained in the place of a network as it was written, because it is the same and better to compute."""

from __future__ import annotations

from typing import NamedTuple

from minidl.layers import MaxPool2D, ReLU, Sigmoid, Softmax
from minidl.losses import BinaryCrossEntropy, Loss, SoftmaxCrossEntropy
from minidl.module import Module
from minidl.sequential import Sequential


class Network(NamedTuple):
    """What is trained: the layers up to the loss, and the loss of their output."""

    body: Module
    loss: Loss


def through_logits(model: Module, loss: Loss) -> Network:
    """Return the part of a network that is trained, and the loss of that part's output.

    A Sequential that ends in Sigmoid, trained on BinaryCrossEntropy of probabilities, becomes the layers before the
    Sigmoid, `BinaryCrossEntropy(from_logits=True)`, and the Sigmoid: mathematically the same, and exact where the
    Sigmoid saturates. So does one that ends in Softmax, trained on SoftmaxCrossEntropy of probabilities. Any other
    pair stays as it is. The layers are shared, not copied.

    Raises: ValueError for a network that ends in such an activation and a loss that takes logits.

    >>> from minidl import mlp
    >>> through_logits(mlp([2, 1]), BinaryCrossEntropy()).loss
    BinaryCrossEntropy(from_logits=True)
    """
    for loss_kind, activation in ((BinaryCrossEntropy, Sigmoid), (SoftmaxCrossEntropy, Softmax)):
        if isinstance(loss, loss_kind) and type(loss) is loss_kind:
            body = _without_last(model, activation)
            if body is not None and loss.from_logits:
                raise ValueError(
                    f"{loss!r} takes logits, but the model ends in {activation.__name__}: leave one of the two out"
                )
            if body is not None:
                return Network(body, loss.of_logits())
    return Network(model, loss)


def pooled_first(module: Module) -> Module:
    """Return the network with each ReLU behind the MaxPool2D that follows it, where it has fewer numbers to look at.

    The largest of some rectified numbers is the rectified largest, and either way the gradient goes to the first
    pixel that is the largest, if that is above 0, and else nowhere: results are the same to the bit. The layers are
    shared, not copied.

    >>> pooled_first(Sequential(ReLU(), MaxPool2D())).layers
    [MaxPool2D(2, stride=2, padding=0), ReLU()]
    """
    if type(module) is not Sequential:
        return module
    layers = [pooled_first(layer) for layer in module]
    for i in range(len(layers) - 1):
        if type(layers[i]) is ReLU and type(layers[i + 1]) is MaxPool2D:
            layers[i], layers[i + 1] = layers[i + 1], layers[i]
    return Sequential(*layers)


def _without_last(model: Module, activation: type[Module]) -> Sequential | None:
    """Return the layers before the last one if that is such an activation, also at the end of a Sequential inside."""
    if not isinstance(model, Sequential) or len(model) == 0 or not _computes_as(model, Sequential):
        return None
    last = model[-1]
    if _computes_as(last, activation):
        return model[:-1]
    inner = _without_last(last, activation)
    return None if inner is None else Sequential(*list(model)[:-1], inner)


def _computes_as(module: Module, kind: type[Module]) -> bool:
    """Tell whether `module` is of this kind and no subclass has changed what its passes compute."""
    return isinstance(module, kind) and type(module).forward is kind.forward and type(module).backward is kind.backward
