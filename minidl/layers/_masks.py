"""Padding: which time steps of the sequences of a batch are real."""

from __future__ import annotations

from minidl._calls import current_mask
from minidl._typing import Array
from minidl.errors import LayerInputError
from minidl.module import Module


def mask_of(layer: Module, x: Array) -> Array | None:
    """Return the mask of sequences `x` (batch, time, ...), True for real steps, or None where all of them are.

    It is the mask of the container `Masked` in whose forward pass the layer is called.

    Raises: LayerInputError where a layer before this one has changed the number of steps, which the mask counts.
    """
    mask = current_mask.get()
    if mask is not None and mask.shape != x.shape[:2]:
        raise LayerInputError(
            layer, f"expected sequences (batch, time) of the mask's shape {mask.shape}, received {x.shape[:2]}"
        )
    return mask
