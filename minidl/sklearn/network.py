"""NetworkClassifier and NetworkRegressor: any network as a scikit-learn estimator."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from minidl._typing import Array
from minidl._validation import shown
from minidl.models._sizes import list_of_sizes
from minidl.module import Module
from minidl.sklearn._estimator import NetworkEstimator
from minidl.sklearn._kinds import NetworkClassification, NetworkRegression

Build: TypeAlias = "Callable[[tuple[int, ...], int, np.random.Generator], Module]"
"""A function of the shape of a sample, the number of outputs and a random generator that returns a network."""


class BuiltNetworkEstimator(NetworkEstimator):
    """The arguments of both, and the network that `build` makes."""

    def __init__(
        self,
        build: Build,
        input_shape: Sequence[int] | None = None,
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

    # Whole numbers stay what they are: uint8 pixels for Rescale, tokens for Embedding.
    _input = {"dtype": "numeric", "allow_nd": True}  # noqa: RUF012 - read alone

    def _shaped(self, x: Array, shape: tuple[int, ...] | None) -> Array:
        """Return samples of the shape of those before, else `input_shape`, made of rows where they are flattened.

        Raises: ValueError for samples of another size.
        """
        if shape is None and self.input_shape is not None:
            shape = tuple(list_of_sizes(self.input_shape, f"{type(self).__name__} input_shape"))
        shape = x.shape[1:] if shape is None else shape
        if math.prod(x.shape[1:]) != math.prod(shape) or (x.ndim > 2 and x.shape[1:] != shape):
            raise ValueError(
                f"{type(self).__name__} X: expected samples of shape {shape}, or rows of {math.prod(shape)} numbers, "
                f"received shape {x.shape}"
            )
        return x.reshape(len(x), *shape)

    def _network(self, x: Array, outputs: int, random_state: Any) -> Module:
        name = f"{type(self).__name__} build"
        if not callable(self.build) or isinstance(self.build, Module):
            raise TypeError(f"{name}: expected a function (input_shape, outputs, rng), received {shown(self.build)}")
        network = self.build(x.shape[1:], outputs, np.random.default_rng(random_state.randint(2**31 - 1)))
        if not isinstance(network, Module):
            raise TypeError(f"{name}: expected it to return a Module, received {shown(network)}")
        received = network.predict(x[:1]).shape[1:]
        if received != (outputs,):
            expected = f"outputs (batch, {outputs})"
            raise ValueError(f"{name}: expected a network with {expected}, received {('batch', *received)}")
        return network


class NetworkClassifier(NetworkClassification, BuiltNetworkEstimator):
    """Any network as a scikit-learn classifier, of two classes, more, or several answers yes or no a sample.

    Formula: BinaryCrossEntropy for two classes and for answers yes or no, SoftmaxCrossEntropy for more classes, plus
    `alpha / 2n sum(w^2)` over the matrices among the weights, in batches of n samples.

    Shapes: `X` (n, features), or (n, ...) as the network takes it; `y` (n,) of labels of any kind, or (n, outputs) of 0
    and 1.

    Arguments: `build(input_shape, outputs, rng)` returns a new Module that takes (batch, *input_shape) and returns
    (batch, outputs) logits: one output for two classes, else one a class or an answer, and no Sigmoid or Softmax last.
    To be pickled, and so for `n_jobs`, it must be a function of a module. `input_shape` is the shape of a sample where
    `X` has it flattened into rows, such as (28, 28, 1) for pictures of 784 numbers. Whole numbers reach the network as
    they are: uint8 pixels, which Rescale divides, and tokens. The others are those of `MLPClassifier`.

    Attributes: those of `MLPClassifier` but for `coefs_` and `intercepts_`.

    Raises: in `fit`, ValueError for arguments, samples, targets and networks that do not fit each other, TypeError for
    a `build` that is no function or does not return a Module; NonFiniteError.

    >>> from minidl import convnet
    >>> def build(input_shape, outputs, rng):
    ...     return convnet(input_shape, [4], outputs, rng=rng)
    >>> X, y = np.zeros((20, 16), np.float32), np.arange(20) % 2  # rows of 4 x 4 pixels, dark or bright
    >>> X[y == 1] = 1
    >>> NetworkClassifier(build, (4, 4, 1), learning_rate_init=0.1, tol=0.01, random_state=0).fit(X, y).score(X, y)
    1.0
    """


class NetworkRegressor(NetworkRegression, BuiltNetworkEstimator):
    """Any network as a scikit-learn regressor, of one number a sample or several.

    Formula: half the squared error, summed over the outputs, plus the penalty of `NetworkClassifier`.

    Shapes: `X` as for `NetworkClassifier`; `y` (n,) or (n, outputs).

    Arguments, Attributes, Raises: as for `NetworkClassifier`; the network's outputs are the numbers.

    >>> from minidl import Dense, Sequential
    >>> def build(input_shape, outputs, rng):
    ...     return Sequential(Dense(input_shape[0], outputs, rng=rng))
    >>> X = np.linspace(-1, 1, 20)[:, None]
    >>> regressor = NetworkRegressor(build, solver="sgd", learning_rate_init=0.1, n_iter_no_change=50, random_state=0)
    >>> regressor.fit(X, 3 * X[:, 0] + 1).predict([[2.0]]).round(1).tolist()
    [7.0]
    """
