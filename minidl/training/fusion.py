"""Training through logits: why and where a last activation and its loss are taken together."""

from __future__ import annotations

from minidl.layers.activations import Sigmoid
from minidl.losses import BinaryCrossEntropy, Loss
from minidl.module import Module
from minidl.sequential import Sequential


def through_logits(model: Module, loss: Loss) -> tuple[Module, Loss, Module]:
    """Split a network into the part to train, the loss of that part's output, and what turns it into predictions.

    A Sequential that ends in Sigmoid, trained on BinaryCrossEntropy of probabilities, becomes the layers before the
    Sigmoid, `BinaryCrossEntropy(from_logits=True)`, and the Sigmoid: mathematically the same, and exact where the
    Sigmoid saturates. Any other pair stays as it is, with nothing to do after it. The layers are shared, not copied.

    >>> from minidl import mlp
    >>> through_logits(mlp([2, 1]), BinaryCrossEntropy())
    (Sequential(Dense(2 -> 1)), BinaryCrossEntropy(from_logits=True), Sigmoid())
    """
    if (
        isinstance(model, Sequential)
        and len(model) > 0
        and _computes_as(model, Sequential)
        and _computes_as(model[-1], Sigmoid)
        and type(loss) is BinaryCrossEntropy
        and not loss.from_logits
    ):
        return model[:-1], BinaryCrossEntropy(from_logits=True), model[-1]
    return model, loss, Sequential()


def _computes_as(module: Module, kind: type[Module]) -> bool:
    """Tell whether `module` is of this kind and no subclass has changed what its passes compute."""
    return isinstance(module, kind) and type(module).forward is kind.forward and type(module).backward is kind.backward
