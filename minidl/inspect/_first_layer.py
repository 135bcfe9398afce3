"""The first Dense of a network, and samples as it sees them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minidl._typing import Array
from minidl._validation import as_array, check_finite, shown
from minidl.layers import Dense
from minidl.module import Module
from minidl.training.rewrites.constant_inputs import constant_layers
from minidl.training.rewrites.layers import layers_of
from minidl.training.rewrites.wide_samples import WideSamples


def first_layer(given: Any, name: str) -> tuple[list[Module], Array, Array]:
    """Return the layers before the first Dense, its weights and its biases."""
    constant: list[Module] = []
    layer = given
    if isinstance(given, Module) and not isinstance(given, Dense):
        layers = layers_of(given)
        constant = constant_layers(layers)
        layer = layers[len(constant)] if len(constant) < len(layers) else None
    if isinstance(layer, Dense):
        weight, bias = layer.weight.data, None if layer.bias is None else layer.bias.data
    elif isinstance(given, (np.ndarray, list, tuple)):
        weight, bias = as_array(given, f"influences {name}"), None
    else:
        raise TypeError(
            f"influences {name}: expected a network that begins with a Dense behind Rescale, Normalize and Flatten, a "
            f"Dense or its weights, received {shown(given)}"
        )
    if weight.ndim != 2 or weight.size == 0:
        raise ValueError(f"influences {name}: expected weights (units, features), received shape {weight.shape}")
    check_finite(weight, f"influences {name}")
    return constant, weight, np.zeros(len(weight)) if bias is None else bias.astype(np.float64)


def rows_of(x: Any, constant: Sequence[Module], name: str) -> WideSamples:
    """Return samples as the first Dense sees them, in float64."""
    x = as_array(x, name)
    if x.ndim < 2 or x.size == 0:
        raise ValueError(f"{name}: expected samples (n, ...), received shape {x.shape}")
    check_finite(x, name)
    return WideSamples(x, constant, np.dtype(np.float64))
