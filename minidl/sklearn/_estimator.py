"""What all estimators share: their settings, and training by way of Trainer."""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from minidl._typing import Array
from minidl.losses.weighted import checked_weight
from minidl.module import Module
from minidl.sklearn._convergence import Convergence
from minidl.sklearn._order import SampleOrder
from minidl.sklearn._settings import Settings, checked_settings
from minidl.sklearn._targets import ClassTargets, without_a_column
from minidl.training import Trainer
from minidl.training.rewrites import activation_before


class Samples(NamedTuple):
    """Samples, encoded targets and weights or None, of one part of the data."""

    x: Array
    y: Array
    weight: Array | None


class NetworkEstimator(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """The base of the estimators: `fit`, `partial_fit` and what they leave.

    A kind of estimator defines `_network`, which builds the network, and `_targets_of`, which says what it predicts.
    """

    def _store(self, arguments: dict[str, Any]) -> None:
        """Set the arguments of `__init__` as attributes, unchanged and unchecked, as scikit-learn asks."""
        for name, value in arguments.items():
            if name != "self":
                setattr(self, name, value)

    def _network(self, x: Array, outputs: int, random_state: Any) -> Module:
        """Return a new network for samples like these."""
        raise NotImplementedError

    def _targets_of(self, y: Array, classes: Any) -> Any:
        """Return what is to be predicted, a ClassTargets or a NumberTargets."""
        raise NotImplementedError

    _input: dict[str, Any]
    """The arguments of `validate_data` for samples."""
    _numeric_targets = False

    network_: Module
    loss_curve_: list[float]
    validation_scores_: list[float] | None
    _targets: Any
    _optimizer: Any
    _sample_shape: tuple[int, ...]
    _samples_seen: int
    _lowest_loss: float

    def _validated(self, X: Any, y: Any, *, reset: bool) -> tuple[Array, Array]:
        numeric = self._numeric_targets
        x, y = validate_data(self, X, y, reset=reset, multi_output=True, y_numeric=numeric, **self._input)
        return self._shaped(x, None if reset else self._sample_shape), without_a_column(y)

    def _shaped(self, x: Array, shape: tuple[int, ...] | None) -> Array:
        """Return samples as the network takes them, of this shape if it is not the first time."""
        return x

    def _outputs(self, X: Any) -> Array:
        """Return the network's outputs, in the precision of the samples, which scikit-learn's callers expect."""
        check_is_fitted(self)
        x = validate_data(self, X, reset=False, **self._input)
        outputs: Array = self.network_.predict(self._shaped(x, self._sample_shape))
        dtype = np.result_type(x.dtype, np.float32) if x.dtype.kind == "f" else np.float64
        return outputs.astype(dtype, copy=False)

    def predict(self, X: Any) -> Array:
        """Return the predicted classes or numbers (n,), or (n, outputs) where several a sample were given to `fit`."""
        outputs = self._outputs(X)
        predicted: Array = self._targets.predicted(outputs)
        return predicted

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        """Train a new network on samples and targets, or with `warm_start` the one there is, and return the estimator.

        Arguments: `X` and `y` are array-likes or DataFrames; `sample_weight` (n,) weights loss, penalty and score.

        Raises: ValueError for arguments, samples or targets that cannot be trained on; NonFiniteError where training
        comes to numbers that are not finite. After Ctrl-C the network is as after the last completed epoch, with a
        warning.
        """
        settings = checked_settings(self)
        return self._trained(X, y, sample_weight, settings, settings.max_iter, goes_on=settings.warm_start)

    def _fit_once(self, X: Any, y: Any, sample_weight: Any, classes: Any = None) -> Any:
        settings = checked_settings(self)
        if settings.early_stopping:
            raise ValueError(
                f"{type(self).__name__} early_stopping: expected False for partial_fit, which holds nothing out, "
                "received True"
            )
        return self._trained(X, y, sample_weight, settings, None, goes_on=True, classes=classes)

    def _trained(
        self,
        X: Any,
        y: Any,
        sample_weight: Any,
        settings: Settings,
        epochs: int | None,
        *,
        goes_on: bool,
        classes: Any = None,
    ) -> Any:
        """Train for so many epochs, None for one of `partial_fit`, which keeps the optimizer."""
        is_new = not (goes_on and hasattr(self, "network_"))
        x, y = self._validated(X, y, reset=is_new)
        weight = None if sample_weight is None else self._checked_weight(sample_weight, len(x))
        targets = self._targets_of(y, classes) if is_new else self._targets
        data = Samples(x, targets.encoded(y), weight)
        random_state = check_random_state(self.random_state)
        network = self._network(x, targets.outputs, random_state) if is_new else self.network_
        activation_before(network, targets.of_logits)
        score = None
        if settings.early_stopping:
            data, score = self._with_part_held_out(data, y, targets, settings, random_state)
        batch = min(200 if settings.batch_size is None else settings.batch_size, len(data.x))
        decay = settings.alpha / (batch * _mean(data.weight))
        optimizer: Any = self._optimizer if epochs is None and not is_new else settings.optimizer(network, decay)
        optimizer.weight_decay = decay
        seen, lowest = (0, math.inf) if is_new else (self._samples_seen, self._lowest_loss)
        progress = Convergence(settings, len(data.x), targets.averaged, decay, seen, lowest, score)
        history = Trainer(network, targets.loss(), optimizer).fit(
            data.x, data.y, epochs or 1, batch if batch < len(data.x) else None, sample_weight=data.weight,
            rng=SampleOrder(random_state if settings.shuffle else None), dual=False, callbacks=[progress],
            print_every=1 if settings.verbose else None,
        )  # fmt: skip
        if is_new:
            self.loss_curve_, self.validation_scores_ = [], None
        self.network_, self._targets, self._optimizer, self._sample_shape = network, targets, optimizer, x.shape[1:]
        self._keep(targets, progress)
        self._warn(history.interrupted, progress, epochs)
        return self

    def _checked_weight(self, sample_weight: Any, samples: int) -> Array:
        name = f"{type(self).__name__} sample_weight"
        weight = checked_weight(np.asarray(sample_weight), (samples,), name)
        if not weight.any():
            raise ValueError(f"{name}: expected a weight above zero for at least one sample, received zero for all")
        return weight

    def _with_part_held_out(
        self, data: Samples, y: Array, targets: Any, settings: Settings, random_state: Any
    ) -> tuple[Samples, Callable[[Module], float]]:
        """Return the samples to train on, and the function that measures a network on the others."""
        is_stratified = isinstance(targets, ClassTargets) and not targets.is_multilabel
        rows, held_out = train_test_split(
            np.arange(len(data.x)),
            random_state=random_state,
            test_size=settings.validation_fraction,
            stratify=y if is_stratified and targets.outputs == 1 else None,  # as scikit-learn does
        )
        if len(held_out) < 2:
            raise ValueError(
                f"{type(self).__name__} validation_fraction: expected a share of at least 2 samples, received "
                f"{settings.validation_fraction:g} of {len(data.x)}"
            )
        x, answers, weight, own = data.x[held_out], y[held_out], None, None
        if data.weight is not None:
            weight, own = (self._checked_weight(data.weight[part], len(part)) for part in (held_out, rows))

        def score(network: Module) -> float:
            found: float = targets.score(answers, targets.predicted(network.predict(x)), weight)
            return found

        return Samples(data.x[rows], data.y[rows], own), score

    def _keep(self, targets: Any, progress: Convergence) -> None:
        """Set what scikit-learn's estimators have after training."""
        self.n_outputs_ = targets.outputs
        if isinstance(targets, ClassTargets):
            self.classes_ = targets.classes
        self.n_iter_ = len(progress.losses)
        self._samples_seen = self.t_ = progress.samples_seen
        self.loss_curve_ = [*self.loss_curve_, *progress.losses]
        self.loss_ = self.loss_curve_[-1] if self.loss_curve_ else math.inf
        self._lowest_loss = progress.best_loss
        is_scored = progress.score is not None
        self.best_loss_ = None if is_scored else progress.best_loss
        self.validation_scores_ = [*(self.validation_scores_ or []), *progress.scores] if is_scored else None
        self.best_validation_score_ = progress.best_score if is_scored else None

    def _warn(self, is_interrupted: bool, progress: Convergence, epochs: int | None) -> None:
        name = type(self).__name__
        if is_interrupted:
            warnings.warn(f"{name}: interrupted after {len(progress.losses)} epochs", UserWarning, stacklevel=4)
        elif epochs is not None and not progress.has_converged:
            warnings.warn(
                f"{name}: training still improved after max_iter={epochs} epochs", ConvergenceWarning, stacklevel=4
            )


def _mean(weight: Array | None) -> float:
    """Return the mean of the weights, above 0, and 1 without any; no sum of large ones overflows."""
    if weight is None:
        return 1.0
    with np.errstate(under="ignore"):
        return max(float(weight.max()) * float((weight / weight.max()).mean()), sys.float_info.min)
