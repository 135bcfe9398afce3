"""Activation maps: what each channel of a convolution makes of a picture."""

from __future__ import annotations

from typing import Any

import numpy as np

from minidl._calls import calling
from minidl._typing import Array
from minidl._validation import check_finite, shown
from minidl.inspect._colours import in_colours
from minidl.inspect._passes import batch_of
from minidl.layers import Conv2D
from minidl.module import Module


def activation_maps(model: Module, x: Any, path: str | None = None) -> Array:
    """Return the outputs of a layer over pictures, one picture for each channel, blue below 0 and orange above.

    Formula: the strongest colour stands for the largest number in size among all channels of a sample, white for 0.

    Shapes: `x` (batch, height, width, channels) or one picture; result uint8 (batch, channels, rows, columns, 3), of
    one picture without the axis of the batch.

    Arguments: `path` names the layer, as in `summary`; None is the first Conv2D that is called.

    Raises: ValueError for a layer that was not called, or whose output is no picture, and for outputs that are not
    finite.

    >>> from minidl import Conv2D, Sequential
    >>> activation_maps(Sequential(Conv2D(3, 8, 5, rng=0)), np.ones((12, 12, 3))).shape
    (8, 8, 8, 3)
    """
    if not isinstance(model, Module):
        raise TypeError(f"model: expected a Module, received {shown(model)}")
    paths = {id(module): name for name, module in model.named_modules()}
    found: dict[str, Array] = {}

    def note(module: Any, _: Any, output: Array) -> None:
        name = paths.get(id(module))
        if name is not None and (name == path or (path is None and not found and isinstance(module, Conv2D))):
            found[name] = output

    x, is_sample = batch_of(model, x)
    with calling(training=False, observer=note), np.errstate(all="ignore"):
        model(x)
    if not found:
        expected = "a network with a Conv2D" if path is None else "the path of a layer that is called"
        raise ValueError(f"activation_maps: expected {expected}, received {shown(path)}")
    ((name, output),) = found.items()
    if output.ndim != 4:
        raise ValueError(f"activation_maps: layer {name}: expected outputs that are pictures, received {output.shape}")
    check_finite(output, f"activation_maps: layer {name}")
    maps = np.moveaxis(output, 3, 1)[..., None].astype(np.float64)
    largest = np.abs(maps).max(axis=(1, 2, 3, 4), keepdims=True)
    pictures = in_colours(maps, largest)
    return pictures[0] if is_sample else pictures
