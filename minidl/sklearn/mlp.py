"""MLPClassifier and MLPRegressor: scikit-learn's networks, trained by minidl."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from minidl._typing import Array
from minidl._validation import is_natural
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
            layer = Dense(fan_in, fan_out, rng=0, dtype=x.dtype)
            bias = random_state.uniform(-bound, bound, fan_out)
            layer.load_state_dict({"weight": weight, "bias": bias})
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
        network: Any = self.network_
        return [layer for layer in network if isinstance(layer, Dense)]


class MLPClassifier(NetworkClassification, MLPEstimator):
    """A network of Dense layers as a scikit-learn classifier, of two classes, more, or several answers yes or no.

    Formula: with the same arguments it is `sklearn.neural_network.MLPClassifier`: the same first weights and order of
    the samples for the same `random_state`, the same loss, penalty and rule to stop, and so the same network to
    rounding, but for details. Adam adds `epsilon` to the corrected root of the second moment, scikit-learn to the other
    one. In mini-batches weights of samples are over their mean in the whole set, as in `Trainer.fit`; `alpha` is over
    the size of a full batch also for a smaller last one; and `loss_curve_` has the penalty that an epoch begins with.

    Shapes: `X` (n, features); `y` (n,) of labels of any kind, or (n, outputs) of 0 and 1. The network computes in the
    precision of the `X` given to `fit`, float32 or float64.

    Arguments: all are scikit-learn's, with its defaults. `solver` is "adam" or "sgd" (there is no "lbfgs", and so no
    `max_fun`), `momentum` is below 1, and `learning_rate` and `power_t` count for "sgd" alone.

    Attributes: `network_` is the trained network, a Sequential that ends in logits, to inspect or to `minidl.save`;
    `classes_`, `coefs_`, `intercepts_`, `loss_`, `loss_curve_`, `best_loss_`, `n_iter_`, `t_`, `n_outputs_`,
    `validation_scores_`, `best_validation_score_`, `n_features_in_` and `feature_names_in_` are scikit-learn's.

    Raises: in `fit`, as scikit-learn asks, ValueError for arguments, samples and targets; NonFiniteError.

    Source: the rules are those of scikit-learn 1.9, `sklearn/neural_network/_multilayer_perceptron.py`.

    >>> X, y = np.array([[0.0], [1.0], [2.0], [3.0]]), ["low", "low", "high", "high"]
    >>> classifier = MLPClassifier((8,), learning_rate_init=0.1, tol=0.01, random_state=0)
    >>> classifier.fit(X, y).predict([[0.2], [2.9]]).tolist()
    ['low', 'high']
    """


class MLPRegressor(NetworkRegression, MLPEstimator):
    """A network of Dense layers as a scikit-learn regressor, of one number a sample or several.

    Formula: with the same arguments it is `sklearn.neural_network.MLPRegressor`, as `MLPClassifier` is its classifier.
    The loss is half the squared error, summed over the outputs; `loss_curve_` has it, as in scikit-learn, over their
    number.

    Shapes: `X` (n, features); `y` (n,) or (n, outputs).

    Arguments, Attributes, Raises, Source: as for `MLPClassifier`.

    >>> X = np.linspace(-1, 1, 40)[:, None]
    >>> regressor = MLPRegressor((16,), solver="sgd", learning_rate_init=0.1, max_iter=500, random_state=0)
    >>> regressor.fit(X, np.abs(X[:, 0])).score(X, np.abs(X[:, 0])) > 0.9
    True
    """
