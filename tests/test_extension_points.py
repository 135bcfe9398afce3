"""Whatever a user may write in a file of their own works everywhere a built-in one does: one table, one test each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minidl
from minidl import (
    SGD,
    BinaryCrossEntropy,
    Callback,
    Checkpoint,
    Dense,
    EarlyStopping,
    Loss,
    MeanSquaredError,
    Metric,
    Module,
    Optimizer,
    Parameter,
    ReLU,
    Run,
    Sequential,
    Trainer,
)
from minidl._typing import Array
from minidl.metrics import F1
from minidl.testing import check_layer, check_loss, gradcheck


class Scale(Module):
    """A layer: one factor for each feature."""

    def __init__(self, features: int, dtype: str = "float32") -> None:
        self.features, self.dtype = features, dtype
        self.factor = Parameter(np.ones(features, dtype))

    def forward(self, x: Array) -> Array:
        self.save_for_backward(x)
        return x * self.factor.data

    def backward(self, grad_output: Array) -> Array:
        (x,) = self.saved_for_backward()
        self.factor.grad = (grad_output * x).sum(axis=0)
        return grad_output * self.factor.data


class Skip(Module):
    """A container: what its layers make of the input, added to the input."""

    def __init__(self, body: Module) -> None:
        self.body = body

    def forward(self, x: Array) -> Array:
        y: Array = x + self.body(x)
        return y

    def backward(self, grad_output: Array) -> Array:
        return grad_output + self.body.backward(grad_output)


class Classifier(Module):
    """A network that is no Sequential, and makes its layers itself."""

    def __init__(self, width: int) -> None:
        self.width = width
        self.layers = {"hidden": [Dense(3, width, rng=0), ReLU()], "out": Dense(width, 1, rng=1)}

    def forward(self, x: Array) -> Array:
        for layer in self.row():
            x = layer(x)
        return x

    def backward(self, grad_output: Array) -> Array:
        for layer in reversed(self.row()):
            grad_output = layer.backward(grad_output)
        return grad_output

    def row(self) -> list[Module]:
        return [layer for _, layer in self.named_children()]


class LogCosh(Loss):
    """A loss: quadratic for small errors, linear for large ones."""

    def value(self, prediction: Array, target: Array) -> float:
        error = np.abs(prediction - target)
        return float(np.mean(error + np.log1p(np.exp(-2 * error)) - np.log(2)))

    def gradient(self, prediction: Array, target: Array) -> Array:
        grad: Array = np.tanh(prediction - target) / prediction.size
        return grad


class Adagrad(Optimizer):
    """An optimizer: steps that shrink with the gradients so far."""

    elementwise = True

    def initial_state(self, data: Array) -> dict[str, Array]:
        return {"squares": np.zeros_like(data)}

    def update(self, data: Array, gradient: Array, state: dict[str, Array]) -> None:
        state["squares"] += gradient * gradient
        data -= self.learning_rate * gradient / (np.sqrt(state["squares"]) + 1e-8)


class LargestError(Metric):
    """A metric: of all samples, not of a batch's mean."""

    def measure(self, prediction: Array, target: Array) -> float:
        return float(np.abs(prediction - target).max())

    def merge(self, first: float, second: float) -> float:
        return max(first, second)

    def result(self, measured: float) -> float:
        return measured


class Counter(Callback):
    """A callback: it counts its calls, also across a break."""

    def __init__(self) -> None:
        self.counts = {"begin": 0, "batch": 0, "epoch": 0, "end": 0}

    def on_fit_begin(self, run: Run) -> None:
        self.counts["begin"] += 1

    def on_batch_end(self, run: Run, batch: int, record: Mapping[str, Any]) -> None:
        self.counts["batch"] += 1

    def on_epoch_end(self, run: Run, epoch: int, metrics: Mapping[str, float]) -> None:
        self.counts["epoch"] += 1

    def on_fit_end(self, run: Run) -> None:
        self.counts["end"] += 1

    def state_dict(self) -> dict[str, Any]:
        return {"counts": dict(self.counts)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.counts = dict(state["counts"])


def alternating(shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Return an initializer's weights: half of them positive."""
    return np.where(np.arange(np.prod(shape)) % 2, 0.3, -0.3).reshape(shape)


def model_of(*layers: Module) -> Sequential:
    return Sequential(Dense(3, 4, rng=0), *layers, Dense(4, 1, rng=1))


@dataclass(frozen=True)
class Parts:
    """What a run is made of; each row of the table puts a user's own part in the place of one."""

    model: Callable[[], Module] = model_of
    loss: Callable[[], Loss] = MeanSquaredError
    optimizer: Callable[[list[Parameter]], Optimizer] = lambda parameters: SGD(parameters, 0.05, momentum=0.5)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    callbacks: Callable[[], list[Callback]] = list


TABLE = {
    "layer": Parts(model=lambda: model_of(ReLU(), Scale(4))),
    "container": Parts(model=lambda: model_of(Skip(Sequential(Dense(4, 4, rng=2), ReLU())))),
    "network that is no Sequential": Parts(model=lambda: Classifier(4)),
    "loss": Parts(loss=LogCosh),
    "optimizer": Parts(optimizer=partial(Adagrad, learning_rate=0.1)),
    "metric": Parts(metrics={"largest": LargestError()}),
    "function as a metric": Parts(metrics={"largest": lambda p, t: float(np.abs(p - t).max())}),
    "callback": Parts(callbacks=lambda: [Counter()]),
    "initializer": Parts(model=lambda: model_of(ReLU(), Dense(4, 4, weight_init=alternating))),
}
CUSTOM: dict[str, type[Module]] = {"Scale": Scale, "Skip": Skip, "Classifier": Classifier}
RNG = np.random.default_rng(0)
X = RNG.normal(size=(30, 3)).astype(np.float32)
Y = (X[:, :1] - X[:, 1:2]).astype(np.float32)


def trainer_of(parts: Parts) -> Trainer:
    model = parts.model()
    return Trainer(model, parts.loss(), parts.optimizer(model.parameters()), parts.metrics)


def fit(trainer: Trainer, epochs: int, callbacks: list[Callback], **options: Any) -> dict[str, list[float]]:
    history = trainer.fit(
        X, Y, epochs, 8, validation_data=(X, Y), rng=0, print_every=None, callbacks=callbacks, **options
    )
    return {name: values for name, values in history.items() if name != "seconds"}


@pytest.mark.parametrize("name", TABLE)
def test_it_trains_is_checked_saved_loaded_and_resumed(name: str, tmp_path: Path) -> None:
    parts = TABLE[name]

    # It trains, and what it measures stands in the history.
    trainer, own = trainer_of(parts), parts.callbacks()
    history = fit(trainer, 12, [*own, EarlyStopping(patience=99), Checkpoint(tmp_path / "whole")])
    assert history["loss"][-1] < 0.7 * history["loss"][0]
    assert {f"{prefix}{metric}" for metric in parts.metrics for prefix in ("", "val_")} <= set(history)
    if parts.metrics:
        assert history["val_largest"][-1] == pytest.approx(np.abs(trainer.model.predict(X) - Y).max(), rel=1e-6)
        assert trainer.evaluate(X, Y, batch_size=7)["largest"] == pytest.approx(history["val_largest"][-1], rel=1e-6)

    # Its gradients are checked.
    assert gradcheck((parts.model(), parts.loss()), X[:5], Y[:5]) < 1e-5

    # A network with it is saved and loaded with the same bits.
    minidl.save(trainer.model, tmp_path / "model.npz", note="mine")
    again = minidl.load(tmp_path / "model.npz", CUSTOM)
    assert again.predict(X).tobytes() == trainer.model.predict(X).tobytes()
    assert minidl.load_metadata(tmp_path / "model.npz") == {"note": "mine"}

    # A run that is broken off and resumed ends in the same bits.
    fit(trainer_of(parts), 5, [*parts.callbacks(), EarlyStopping(patience=99), Checkpoint(tmp_path / "part")])
    resumed, taken_up = trainer_of(parts), parts.callbacks()
    resumed.resume(tmp_path / "part")
    rest = fit(resumed, 12, [*taken_up, EarlyStopping(patience=99), Checkpoint(tmp_path / "part")])
    assert rest == history
    for key, array in trainer.model.state_dict().items():
        assert array.tobytes() == resumed.model.state_dict()[key].tobytes()
    for key, value in trainer.optimizer.state_dict().items():
        np.testing.assert_array_equal(value, resumed.optimizer.state_dict()[key])
    for first, second in zip(own, taken_up, strict=True):
        assert isinstance(first, Counter)
        assert isinstance(second, Counter)
        assert first.counts == {"begin": 1, "batch": 48, "epoch": 12, "end": 1}
        assert second.counts == {**first.counts, "begin": 2}


def test_a_users_layer_and_loss_keep_the_contract() -> None:
    check_layer(lambda dtype: Scale(4, dtype.name), (5, 4), (5, 4))
    check_layer(lambda dtype: Skip(Dense(4, 4, rng=0, dtype=dtype)), (5, 4), (5, 4))
    check_loss(LogCosh(), Y[:4].astype(float), 2 * Y[:4].astype(float))


@pytest.mark.parametrize("error", [None, KeyboardInterrupt, OSError])
def test_the_end_hook_always_runs(error: type[BaseException] | None) -> None:
    class Stopping(Counter):
        def on_epoch_end(self, run: Run, epoch: int, metrics: Mapping[str, float]) -> None:
            if error is not None:
                raise error

    callback, trainer = Stopping(), trainer_of(Parts())
    try:
        history = trainer.fit(X, Y, 3, print_every=None, callbacks=[callback])
        assert history.interrupted == (error is KeyboardInterrupt)
    except OSError:
        assert error is OSError
    assert callback.counts["end"] == 1


def test_a_metric_sees_what_the_model_answers() -> None:
    """A network that is trained through logits is still measured on its probabilities."""
    model = Sequential(*model_of(ReLU()), minidl.Sigmoid())
    seen: list[Array] = []

    def spread(prediction: Array, target: Array) -> float:
        seen.append(prediction)
        return float(np.ptp(prediction))

    trainer = Trainer(model, BinaryCrossEntropy(), SGD(model.parameters()), metrics={"spread": spread})
    trainer.fit(X, Y > 0, 2, 8, print_every=None, rng=0)
    trainer.evaluate(X, Y > 0)
    assert [len(prediction) for prediction in seen] == [30, 30, 30]
    assert all(((prediction > 0) & (prediction < 1)).all() for prediction in seen)
    np.testing.assert_allclose(seen[-1], model.predict(X), rtol=1e-6)


@pytest.mark.parametrize(
    ("metrics", "error", "message"),
    [
        ({"loss": LargestError()}, ValueError, "Trainer metrics: expected names other than loss, seconds, received"),
        ({"val_f1": LargestError()}, ValueError, "received 'val_f1'"),
        ({"f1": LargestError}, TypeError, r"Trainer metrics\['f1'\]: expected a Metric or a function, received <class"),
        ({"f1": 3}, TypeError, "received 3"),
        ("f1", TypeError, "Trainer metrics: expected a mapping or a list of metrics, received 'f1'"),
        (LargestError(), TypeError, "Trainer metrics: expected a mapping or a list of metrics, received <"),
        (["f1"], TypeError, r"Trainer metrics\[0\]: expected a Metric or a function, received 'f1'"),
        ([F1(), F1(0.3)], ValueError, r"Trainer metrics\[1\]: expected names that differ, received 'f1'"),
        ([lambda p, t: 0.0], ValueError, r"metrics\[0\]: expected names that can be recorded, received '<lambda>'"),
    ],
)
def test_bad_metrics(metrics: Any, error: type[Exception], message: str) -> None:
    model = model_of()
    with pytest.raises(error, match=message):
        Trainer(model, MeanSquaredError(), SGD(model.parameters()), metrics)


def test_the_direction_of_a_metric_decides_what_is_best() -> None:
    class Falling(Metric):
        higher_is_better = True

        def measure(self, prediction: Array, target: Array) -> float:
            return float(len(target))

        def result(self, measured: float) -> float:
            return measured

    for metric in (Falling(), LargestError()):
        stopping, model = EarlyStopping("own", patience=2), model_of()
        trainer = Trainer(model, MeanSquaredError(), SGD(model.parameters(), 0.05), metrics={"own": metric})
        epochs = trainer.fit(X, Y, 20, print_every=None, callbacks=[stopping]).epochs
        assert epochs == (3 if isinstance(metric, Falling) else 20)


class Penalized(Trainer):
    """A trainer of the user's own: the loss, and a penalty on the weights."""

    def train_step(self, problem: minidl.training.Problem, x: Array, y: Array) -> dict[str, Any]:
        output = self.model(x)
        self.model.backward(self.loss.gradient(output, y))
        for parameter in self.model.parameters():
            assert parameter.grad is not None
            parameter.grad = parameter.grad + 0.1 * parameter.data
        self.optimizer.step()
        return {"loss": self.loss.value(output, y), "norm": float(np.abs(self.model.parameters()[0].data).sum())}


@pytest.mark.parametrize(("record", "message"), [({}, "received nothing"), ({"cost": 1.0}, "received cost")])
def test_a_train_step_without_a_loss(record: dict[str, float], message: str) -> None:
    class Wrong(Trainer):
        def train_step(self, problem: minidl.training.Problem, x: Array, y: Array) -> dict[str, Any]:
            return record

    model = model_of()
    with pytest.raises(ValueError, match=f"train_step: expected it to return a 'loss', {message}"):
        Wrong(model, MeanSquaredError(), SGD(model.parameters())).fit(X, Y, 2, print_every=None)


def test_a_train_step_whose_loss_is_not_finite() -> None:
    class Wrong(Trainer):
        def train_step(self, problem: minidl.training.Problem, x: Array, y: Array) -> dict[str, Any]:
            super().train_step(problem, x, y)
            return {"loss": float("nan")}

    model = model_of()
    before = model.state_dict()
    with pytest.raises(minidl.NonFiniteError, match="epoch 0: the cost is nan"):
        Wrong(model, MeanSquaredError(), SGD(model.parameters())).fit(X, Y, 2, print_every=None)
    for name, array in before.items():
        np.testing.assert_array_equal(array, model.state_dict()[name])


def test_train_step_can_be_overridden() -> None:
    """It is given the problem as it was written: the same steps as an optimizer with weight decay takes."""
    models = [Sequential(minidl.Rescale(0.5), *model_of(ReLU()), minidl.Sigmoid()) for _ in range(2)]
    plain = Trainer(models[0], BinaryCrossEntropy(), SGD(models[0].parameters(), 0.1, weight_decay=0.1))
    own = Penalized(models[1], BinaryCrossEntropy(), SGD(models[1].parameters(), 0.1))
    expected = plain.fit(X, Y > 0, 5, print_every=None)
    history = own.fit(X, (Y > 0).astype(np.float32), 5, print_every=None)
    np.testing.assert_allclose(history["loss"], expected["loss"], rtol=1e-5)
    assert len(history["norm"]) == 5
    for name, array in models[0].state_dict().items():
        np.testing.assert_allclose(models[1].state_dict()[name], array, rtol=1e-4, atol=1e-6)
