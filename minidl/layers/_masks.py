"""Which time steps of the sequences of a batch are real, and which steps came before them."""

from __future__ import annotations

from typing import Any

from minidl._calls import current_mask, current_stream
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


def stream_of(layer: Module, batch: int) -> dict[object, Any] | None:
    """Return what layers remember inside `streaming()`, None outside.

    Raises: LayerInputError for another number of sequences than the stream has begun with.
    """
    stream = current_stream.get()
    if stream is not None and stream.setdefault("batch", batch) != batch:
        raise LayerInputError(
            layer, f"expected the {stream['batch']} sequences that streaming() has begun with, received {batch}"
        )
    return stream


def refuse_stream(layer: Module, reason: str) -> None:
    """Raise a LayerInputError inside `streaming()`, for a layer that needs whole sequences."""
    if current_stream.get() is not None:
        raise LayerInputError(layer, f"expected whole sequences, not steps inside streaming(): {reason}")


def check_all_real(layer: Module, x: Array) -> None:
    """Raise a LayerInputError where some steps of `x` (batch, time, ...) are padding or belong to a stream.

    It is for layers whose windows divide the time: those of a sequence must not depend on what stands behind it.
    """
    mask = mask_of(layer, x)
    if mask is not None and not mask.all():
        row = int((~mask.all(axis=1)).argmax())
        raise LayerInputError(layer, f"expected sequences without padding, received padding in row {row} of {x.shape}")
    refuse_stream(layer, "windows divide the time")
