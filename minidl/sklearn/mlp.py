"""MLPClassifier and MLPRegressor: scikit-learn's networks, trained by minidl."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from minidl._typing import Array
from minidl._validation import is_natural, shown
from minidl.containers import Sequential
from minidl.layers import Dense, ReLU, Sigmoid, Tanh
from minidl.models._sizes import list_of_sizes
from minidl.module import Module
from minidl.sklearn._estimator import NetworkEstimator
from minidl.sklearn._kinds import NetworkClassification, NetworkRegression
from minidl.sklearn._settings import one_of

ACTIVATIONS: dict[str, type[Module] | None] = {"identity": None, "logistic": Sigmoid, "tanh": Tanh, "relu": ReLU}


class MLPEstimator(NetworkEstimator):
    """The arguments of both, their network, and its weights under scikit-learn's names."""

    def __init__(
        self,
        hidden_layer_sizes: int | Sequence[int] = (100,),
        activation: str = "relu",
        *,
        solver: str = "adam",
        alpha: float = 0.0001,
        batch_size: int | str = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: bool = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: float = 10,
    ) -> None:
        self._store(locals())

    _input = {"dtype": (np.float64, np.float32)}  # noqa: RUF012 - read alone

    def _network(self, x: Array, outputs: int, random_state: Any) -> Module:
        """Return Dense layers with activations between them, of scikit-learn's first weights, in the samples' dtype."""
        where = type(self).__name__
        hidden = self.hidden_layer_sizes
        sizes = [hidden] if is_natural(hidden) else hidden
        widths = [] if np.size(sizes) == 0 else list_of_sizes(sizes, f"{where} hidden_layer_sizes")
        activation = ACTIVATIONS[one_of(tuple(ACTIVATIONS), self.activation, f"{where} activation")]
        factor = 2.0 if self.activation == "logistic" else 6.0

        layers: list[Module] = []
        for fan_in, fan_out in pairwise([x.shape[1], *widths, outputs]):
            bound = np.sqrt(factor / (fan_in + fan_out))
            weight = random_state.uniform(-bound, bound, (fan_in, fan_out)).T
            layer = Dense(fan_in, fan_out, weight_init=lambda *_, w=weight: np.ascontiguousarray(w), dtype=x.dtype)
            layer.bias.data[...] = random_state.uniform(-bound, bound, fan_out)
            layers += [layer] if activation is None else [layer, activation()]
        return Sequential(*(layers if activation is None else layers[:-1]))

    @property
    def coefs_(self) -> list[Array]:
        """Copies of the weights of each layer, (inputs, outputs) as in scikit-learn."""
        return [layer.weight.data.T.copy() for layer in self._dense_layers("coefs_")]

    @property
    def intercepts_(self) -> list[Array]:
        """Copies of the biases of each layer."""
        return [layer.bias.data.copy() for layer in self._dense_layers("intercepts_")]

    def _dense_layers(self, name: str) -> list[Any]:
        if not hasattr(self, "network_"):
            raise AttributeError(f"{type(self).__name__} has no {name} before fit")
        return [layer for layer in self.network_ if isinstance(layer, Dense)]


class MLPClassifier(NetworkClassification, MLPEstimator):
    """A network of Dense layers as a scikit-learn classifier, of two classes, more, or several answers yes or no."""


class MLPRegressor(NetworkRegression, MLPEstimator):
    """A network of Dense layers as a scikit-learn regressor, of one number a sample or several."""
