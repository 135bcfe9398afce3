"""Networks of Dense layers."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from minidl._typing import DTypeLike, Seed
from minidl._validation import as_generator
from minidl.containers import Sequential
from minidl.initializers import Initializer
from minidl.layers import (
    Dense,
    ReLU,
    Sigmoid,
)
from minidl.models._sizes import list_of_sizes
from minidl.module import Module


def mlp(
    layer_dims: Sequence[int],
    *,
    weight_init: str | Initializer = "scaled_normal",
    rng: Seed = None,
    dtype: DTypeLike = np.float32,
) -> Sequential:
    """Build the article's network from its list of layer sizes: Dense, ReLU, ..., Dense, Sigmoid.

    Arguments: `layer_dims` counts the inputs, the units of each hidden layer and the outputs; the others are those
    of `Dense`, one generator serving all layers in order.

    Raises: ValueError for fewer than two sizes or a size below 1.

    >>> mlp([49152, 20, 7, 5, 1])[-2:]
    Sequential(Dense(5 -> 1), Sigmoid())
    """
    dims = list_of_sizes(layer_dims, "layer_dims", at_least=2)
    rng = as_generator(rng)
    layers: list[Module] = []
    for n_in, n_out in pairwise(dims):
        layers += [Dense(n_in, n_out, weight_init=weight_init, rng=rng, dtype=dtype), ReLU()]
    layers[-1] = Sigmoid()
    return Sequential(*layers)
