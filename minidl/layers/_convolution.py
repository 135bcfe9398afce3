"""Convolution: what Conv1D, Conv2D and ConvTranspose2D have in common."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from minidl._typing import Array
from minidl._validation import flag, size
from minidl.module import Module
from minidl.ops.windows import Windows
from minidl.parameter import Parameter


class Convolution(Module):
    """Channels in groups, windows, a weight and a bias; each layer says what it makes of them.

    Attributes: the constructor's arguments, and `windows`, which they describe.
    """

    axes: ClassVar[int] = 2
    """How many axes lie between that of the samples and that of the channels."""

    windows: Windows
    weight: Parameter
    bias: Parameter | None

    @property
    def dtype(self) -> np.dtype[Any]:
        """The precision of the weights."""
        return self.weight.data.dtype

    def _set_channels(self, in_channels: int, out_channels: int, groups: int) -> None:
        name = type(self).__name__
        self.in_channels = size(in_channels, f"{name} in_channels")
        self.out_channels = size(out_channels, f"{name} out_channels")
        self.groups = size(groups, f"{name} groups")
        if self.in_channels % self.groups or self.out_channels % self.groups:
            raise ValueError(
                f"{name} groups: expected a divisor of in_channels {self.in_channels} and of out_channels "
                f"{self.out_channels}, received {self.groups}"
            )

    def _set_parameters(self, weight: Array, *, bias: bool) -> None:
        self.weight = Parameter(weight)
        has_bias = flag(bias, f"{type(self).__name__} bias")
        self.bias = Parameter(np.zeros(self.out_channels, weight.dtype)) if has_bias else None

    def __repr__(self) -> str:
        sides = " x ".join(map(str, self.windows.size[-self.axes :]))
        usual = {"stride": None, "padding": None, "output_padding": 0, "dilation": 1, "groups": 1}
        values = {name: getattr(self, name, value) for name, value in usual.items()}
        shown = ", ".join(f"{name}={value!r}" for name, value in values.items() if value != usual[name])
        return f"{type(self).__name__}({self.in_channels} -> {self.out_channels}, {sides}, {shown})"
