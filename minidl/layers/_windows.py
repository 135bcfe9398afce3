"""The windows of a layer: its arguments in all their spellings, and whether one fits into the input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from minidl._typing import Array
from minidl._validation import LARGEST_SIZE, is_natural, shown, size
from minidl.errors import LayerInputError
from minidl.module import Module
from minidl.ops.windows import Borders, Pair, Windows

Size = int | Pair
"""What a user writes for two directions: a number for both, or (vertical, horizontal)."""
Padding = int | Pair | Borders
"""Pixels on all sides, (vertical, horizontal), or ((top, bottom), (left, right))."""

SPELLINGS = {2: "a number, (vertical, horizontal) or ((top, bottom), (left, right))", 1: "a number or (left, right)"}


def pair(value: Any, name: str) -> Pair:
    """Return a size in both directions, of a whole number from 1 or two of them.

    >>> pair(3, "size"), pair([3, 5], "size")
    ((3, 3), (3, 5))
    """
    if not isinstance(value, (list, tuple)):
        return size(value, name), size(value, name)
    if len(value) != 2:
        raise ValueError(f"{name}: expected a whole number or two, (vertical, horizontal), received {shown(value)}")
    return size(value[0], f"{name}[0]"), size(value[1], f"{name}[1]")


def shortest(value: Pair) -> Size:
    """Return a pair as one number where its two are the same: how layers keep and show it.

    >>> shortest((3, 3)), shortest((3, 5))
    (3, (3, 5))
    """
    return value[0] if value[0] == value[1] else value


def sequence_windows(size_: int, stride: int = 1, dilation: int = 1) -> Windows:
    """Return windows over sequences (batch, time, channels) as those over pictures (batch, 1, time, channels).

    >>> sequence_windows(3).size
    (1, 3)
    """
    return Windows((1, size_), (1, stride), dilation=(1, dilation))


def pooling_windows(name: str, pool_size: Any, stride: Any, padding: Any) -> Windows:
    """Return the windows of a pooling layer of pictures, or of sequences where its name ends in 1D.

    Raises: ValueError for sizes below 1, and for padding of a whole window or more, where there would be no pixel.
    """
    axes = 1 if name.endswith("1D") else 2
    stride = pool_size if stride is None else stride
    if axes == 1:
        windows = sequence_windows(size(pool_size, f"{name} pool_size"), size(stride, f"{name} stride"))
    else:
        windows = Windows(pair(pool_size, f"{name} pool_size"), pair(stride, f"{name} stride"))
    found = borders(padding, axes)
    if found is None or any(max(sides) >= side for sides, side in zip(found, windows.size, strict=True)):
        raise ValueError(
            f"{name} padding: expected {SPELLINGS[axes]}, whole numbers of at least 0 and less than pool_size "
            f"{pool_size}, received {shown(padding)}"
        )
    return replace(windows, padding=found)


def named_padding(value: Any, windows: Windows, name: str, names: Sequence[str], axes: int = 2) -> Borders:
    """Return the padding of a convolution, of numbers or of one of the names that it takes.

    "same_upper" depends on the input: `fitted` adds it.

    >>> named_padding("same", Windows((3, 4)), "Conv2D padding", ["same"])
    ((1, 1), (1, 2))
    """
    before_last = [extent - 1 for extent in windows.extent]
    if isinstance(value, str) and value in names:
        if value == "same":
            top, left = (pixels // 2 for pixels in before_last)
            return (top, before_last[0] - top), (left, before_last[1] - left)
        return (0, 0), (before_last[1] if value == "causal" else 0, 0)
    found = borders(value, axes)
    if found is None:
        expected = "".join(f'"{known}", ' for known in names) + SPELLINGS[axes]
        raise ValueError(f"{name}: expected {expected}, from 0 to {LARGEST_SIZE}, received {shown(value)}")
    return found


def borders(value: Any, axes: int) -> Borders | None:
    """Return the padding of all four sides, None for a value that is none.

    >>> borders(1, axes=2), borders((1, 2), axes=2), borders(((0, 1), (2, 3)), axes=2)
    (((1, 1), (1, 1)), ((1, 1), (2, 2)), ((0, 1), (2, 3)))
    >>> borders((1, 2), axes=1)
    ((0, 0), (1, 2))
    """
    if axes == 1:
        both: Sequence[Any] = (0, value)
    else:
        both = value if isinstance(value, (list, tuple)) else (value, value)
    sides = [_border(one) for one in both]
    if len(sides) != 2 or sides[0] is None or sides[1] is None:
        return None
    return sides[0], sides[1]


def shortest_padding(padding: Borders) -> Padding:
    """Return the shortest spelling of a padding.

    >>> shortest_padding(((1, 1), (1, 1))), shortest_padding(((1, 1), (2, 2))), shortest_padding(((1, 2), (1, 2)))
    (1, (1, 2), ((1, 2), (1, 2)))
    """
    (top, bottom), (left, right) = padding
    return shortest((top, left)) if top == bottom and left == right else padding


def fitted(layer: Module, x: Array, windows: Windows, padding: Any = None) -> Windows:
    """Return the windows over a batch of pictures or sequences, with the padding that "same_upper" means for its size.

    Raises: LayerInputError where not one window fits.
    """
    height, width = x.shape[-3] if x.ndim == 4 else 1, x.shape[-2]
    if isinstance(padding, str) and padding == "same_upper":
        return windows.same_upper(height, width)
    (down, right), (rows, columns) = windows.border, windows.extent
    height, width = height + down, width + right
    if rows <= height and columns <= width:
        return windows
    is_picture = x.ndim == 4
    expected = f"pictures of at least {rows} x {columns}" if is_picture else f"sequences of at least {columns} steps"
    padded = f"{height} x {width}" if is_picture else f"{width} steps"
    hint = f" ({padded} with its padding)" if down or right else ""
    raise LayerInputError(layer, f"expected {expected}, received {x.shape}{hint}")


def _border(value: Any) -> Pair | None:
    both = value if isinstance(value, (list, tuple)) else (value, value)
    if len(both) != 2 or not all(is_natural(side) and side <= LARGEST_SIZE for side in both):
        return None
    return int(both[0]), int(both[1])
