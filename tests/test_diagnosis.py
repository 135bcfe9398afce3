"""Diagnosis: an error that says where numbers stopped being finite, a warning that says why nothing is learnt."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import arrays, seeds, sizes

from minidl import (
    SGD,
    BinaryCrossEntropy,
    Callback,
    Dense,
    Embedding,
    Flatten,
    History,
    Loss,
    MeanSquaredError,
    Module,
    NonFiniteError,
    ReLU,
    ReLU6,
    Run,
    Sequential,
    Sigmoid,
    SoftmaxCrossEntropy,
    StuckWarning,
    Tanh,
    Trainer,
    mlp,
)
from minidl._typing import Array
from minidl.training.diagnosis import FLAT, STUCK_EPOCHS, is_stuck

RNG = np.random.default_rng(0)
X = RNG.normal(size=(12, 3)).astype(np.float32)
Y = np.arange(12) % 2
FORMS = pytest.mark.parametrize("options", [{}, {"batch_size": 5, "rng": 1}], ids=["full batch", "mini-batches"])


def trainer_for(model: Sequential, learning_rate: float = 0.1, loss: Loss | None = None) -> Trainer:
    return Trainer(model, loss or BinaryCrossEntropy(), SGD(model.parameters(), learning_rate))


class Spoil(Callback):
    """Makes the next epoch go wrong: one number of a parameter becomes so large that products overflow."""

    def __init__(self, epoch: int, name: str, value: float) -> None:
        self.epoch, self.name, self.value = epoch, name, value

    def on_epoch_end(self, run: Run, epoch: int, metrics: Mapping[str, float]) -> None:
        if epoch == self.epoch:
            dict(run.model.named_parameters())[self.name].data.flat[0] = self.value


def fail(trainer: Trainer, x: Any = X, y: Any = Y, epochs: int = 9, **options: Any) -> str:
    """Return the message of the error that ends the run."""
    with pytest.raises(NonFiniteError) as caught:
        trainer.fit(x, y, epochs, print_every=None, **options)
    return str(caught.value)


@FORMS
@pytest.mark.parametrize(
    ("name", "layer", "what"),
    [
        ("0.weight", 0, "(the cost is nan|the cost is inf|a parameter is not finite)"),
        ("2.weight", 2, "a parameter is not finite"),
    ],
)
def test_the_error_names_epoch_and_first_layer(name: str, layer: int, what: str, options: dict[str, Any]) -> None:
    model = Sequential(Dense(3, 4, rng=0), Tanh(), Dense(4, 1, rng=1))
    message = fail(
        trainer_for(model, 0.1, BinaryCrossEntropy(from_logits=True)),
        callbacks=[Spoil(3, name, math.inf)], **options,
    )  # fmt: skip
    place = f"layer {layer}, {model[layer]!r}"
    assert re.match(f"epoch 4: {what}; the first layer whose .* is {re.escape(place)}; try", message)
    assert message.endswith("try a learning rate below 0.1. The weights of the last completed epoch are kept")


def test_the_hint_for_inputs_that_were_not_scaled() -> None:
    model = Sequential(Dense(3, 4, rng=0), ReLU(), Dense(4, 1, rng=1))
    pixels = RNG.integers(0, 256, (12, 3)).astype(np.float32)
    pixels[0], pixels[1] = 0, 255
    message = fail(trainer_for(model, 1e3, MeanSquaredError()), pixels, Y, 200)
    assert "; the network's inputs range from 0 to 255: scale them, pixels with Rescale(). The weights" in message
    message = fail(trainer_for(Sequential(Dense(3, 4, rng=0), Dense(4, 1, rng=1)), 1e3, MeanSquaredError()), X, Y, 200)
    assert "; try a learning rate below 1000. The weights" in message


class AtBegin(Spoil):
    def on_fit_begin(self, run: Run) -> None:
        self.on_epoch_end(run, self.epoch, {})


@pytest.mark.parametrize("loss", [BinaryCrossEntropy(from_logits=True), MeanSquaredError()])
def test_an_overflow_in_the_very_first_batch_is_an_error_as_any_other(loss: Loss) -> None:
    model = Sequential(Dense(3, 1, rng=0))
    message = fail(trainer_for(model, 0.1, loss), callbacks=[AtBegin(0, "0.bias", math.inf)])
    assert message.startswith(
        "epoch 0: the network's output is not finite; the first layer whose output is not finite is layer 0, Dense(3"
    )


@FORMS
def test_a_cost_that_overflows_while_all_outputs_are_finite(options: dict[str, Any]) -> None:
    model = Sequential(Dense(3, 1, rng=0))
    message = fail(trainer_for(model, 0.1, MeanSquaredError()), callbacks=[Spoil(1, "0.bias", 1e30)], **options)
    assert message.startswith("epoch 2: the cost is inf; every layer's output is still finite; try a learning rate")


def test_a_loss_of_probabilities_is_no_exception() -> None:
    class OwnSigmoid(Sigmoid):
        def forward(self, x: Array) -> Array:
            return super().forward(x)

    class Breaking(Sigmoid):
        """Answers with NaN from the fourth training pass on."""

        passes = 0

        def forward(self, x: Array) -> Array:
            self.passes += self.training
            return super().forward(x) * (np.nan if self.passes > 3 else 1.0)

    model = Sequential(Dense(3, 4, rng=0), Breaking(), Dense(4, 1, rng=1), OwnSigmoid())
    message = fail(trainer_for(model))
    assert message.startswith(
        "epoch 3: the network's output is not finite; the first layer whose output is not finite is layer 1, Breaking()"
    )


def test_an_objection_of_the_loss_itself_is_raised_as_it_is() -> None:
    model = Sequential(Dense(3, 1, rng=0))
    with pytest.raises(ValueError, match=r"probabilities in \[0, 1\]"):
        trainer_for(model).fit(10 * X, Y, 3, print_every=None)


@FORMS
def test_the_weights_are_those_of_the_last_completed_epoch(options: dict[str, Any]) -> None:
    """A rate of 1e30 from epoch 3 on: the weights overflow in it."""

    class Raise(Callback):
        def on_epoch_end(self, run: Run, epoch: int, metrics: Mapping[str, float]) -> None:
            if epoch == 2:
                run.optimizer.learning_rate = 1e38

    trainer, shorter = (trainer_for(mlp([3, 4, 1], rng=0), 0.1) for _ in range(2))
    message = fail(trainer, 1e3 * X, callbacks=[Raise()], **options)
    shorter.fit(1e3 * X, Y, 3, print_every=None, **options)
    assert message.startswith("epoch 3: ")
    assert trainer.epoch == trainer.history.epochs == 3
    for name, array in shorter.model.state_dict().items():
        assert trainer.model.state_dict()[name].tobytes() == array.tobytes()
    assert trainer.history["loss"] == shorter.history["loss"]


class Residual(Module):
    """A user's module with layers of its own."""

    def __init__(self) -> None:
        self.inner = Sequential(Dense(3, 3, rng=0), Tanh())
        self.heads = {"last": Dense(3, 1, rng=1)}

    def forward(self, x: Array) -> Array:
        hidden: Array = x + self.inner(x)
        return self.heads["last"](hidden)

    def backward(self, grad_output: Array) -> Array:
        grad = self.heads["last"].backward(grad_output)
        grad_input: Array = grad + self.inner.backward(grad)
        return grad_input


@FORMS
@pytest.mark.parametrize(
    ("name", "place"), [("inner.0.weight", "layer inner.0, Dense(3 -> 3)"), ("heads.last.bias", "layer heads.last, De")]
)
def test_layers_of_any_module_are_named_by_their_paths(name: str, place: str, options: dict[str, Any]) -> None:
    model = Residual()
    trainer = Trainer(model, BinaryCrossEntropy(from_logits=True), SGD(model.parameters(), 0.1))
    message = fail(trainer, callbacks=[Spoil(2, name, math.nan)], **options)
    assert message.startswith("epoch 3: a parameter is not finite; ")
    assert f"the first layer whose output is not finite is {place}" in message
    assert trainer.epoch == 3
    assert all(np.isfinite(value).all() for value in model.state_dict().values())


def wide_trainer(learning_rate: float = 0.1) -> Trainer:
    return trainer_for(Sequential(Dense(20, 4, rng=0), Tanh(), Dense(4, 1, rng=1), Sigmoid()), learning_rate)


WIDE_X = RNG.normal(size=(12, 20)).astype(np.float32)


@pytest.mark.parametrize(("name", "value"), [("0.weight", math.nan), ("0.bias", math.inf), ("2.weight", math.inf)])
def test_the_dual_form_raises_the_same_error_and_keeps_the_same_weights(name: str, value: float) -> None:
    trainers = wide_trainer(), wide_trainer()
    messages = [
        fail(trainer, WIDE_X, callbacks=[Spoil(2, name, value)], dual=dual)
        for trainer, dual in zip(trainers, (False, True), strict=True)
    ]
    assert messages[0] == messages[1]
    direct, of_dual = trainers
    for key, array in direct.model.state_dict().items():
        np.testing.assert_allclose(of_dual.model.state_dict()[key], array, rtol=1e-5, atol=1e-6)
    assert of_dual.history["loss"] == pytest.approx(direct.history["loss"], rel=1e-5)
    assert of_dual.epoch == 3


def test_parameters_that_overflow_while_the_cost_is_finite_are_found() -> None:
    """The bias of an unused unit: its output does not reach the cost."""

    class Own(SGD):
        def step(self) -> None:
            super().step()
            if self.steps == 4:
                self.parameters[1].data[0] = -math.inf

    model = Sequential(Dense(3, 2, rng=0), ReLU(), Dense(2, 1, rng=1), Sigmoid())
    trainer = Trainer(model, BinaryCrossEntropy(), Own(model.parameters(), 0.1))
    before = model.state_dict()["0.bias"]
    message = fail(trainer)
    assert message.startswith("epoch 3: a parameter is not finite; the first layer whose output is not finite is layer")
    assert np.isfinite(model.state_dict()["0.bias"]).all()
    assert trainer.history.epochs == 3
    assert before.shape == (2,)


def test_what_a_callback_spoils_is_not_kept() -> None:
    trainer, shorter = trainer_for(mlp([3, 4, 1], rng=0)), trainer_for(mlp([3, 4, 1], rng=0))
    fail(trainer, callbacks=[Spoil(2, "0.weight", math.nan)])
    shorter.fit(X, Y, 3, print_every=None)
    for name, array in shorter.model.state_dict().items():
        assert trainer.model.state_dict()[name].tobytes() == array.tobytes()


def test_numbers_that_are_large_but_finite_are_no_error() -> None:
    """Their squares overflow, by which the look at them is quick."""
    model = mlp([3, 2, 1], rng=0)
    dict(model.named_parameters())["0.bias"].data[0] = -1e30
    assert trainer_for(model).fit(X, Y, 2, print_every=None).epochs == 2


# --- a cost that does not move ---------------------------------------------------------------------------------------


def dead_model() -> Sequential:
    """Three of four hidden units are 0 for every sample, one is for some, and nothing depends on any."""
    model = Sequential(Dense(3, 4, rng=0), ReLU(), Dense(4, 1, rng=1), Sigmoid())
    model.load_state_dict({
        "0.weight": np.eye(4, 3, k=-3), "0.bias": [-1, -1, -1, 0], "2.weight": np.zeros((1, 4)), "2.bias": [0],
    })  # fmt: skip
    return model


def stuck_fit(trainer: Trainer, epochs: int, **options: Any) -> tuple[History, list[warnings.WarningMessage]]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        history = trainer.fit(X, Y, epochs, print_every=None, **options)
    return history, caught


@FORMS
def test_the_warning_comes_once_and_says_why(options: dict[str, Any]) -> None:
    trainer = trainer_for(dead_model(), 1e-6)
    history, caught = stuck_fit(trainer, 4 * STUCK_EPOCHS, **options)
    (warning,) = caught
    assert warning.category is StuckWarning
    assert warning.filename == __file__
    message = str(warning.message)
    assert message.startswith("the cost has stayed at 0.6931 for 100 epochs, that of the best answer that is")
    assert "for every sample (0.6931). Units that are 0 for every sample: layer 1, ReLU() 75%. " in message
    number = r"[\d.e+-]+"
    assert re.search(rf"Gradient norms: 0\.weight {number}, 0\.bias {number}, 2\.weight {number}, 2\.bias", message)
    assert message.endswith(f"Inputs from {X.min():g} to {X.max():g}")
    assert history.epochs == 4 * STUCK_EPOCHS


def test_the_dual_form_warns_of_the_same() -> None:
    x, messages = np.tile(X, (1, 5)), []
    for dual in (False, True):
        model = Sequential(Dense(15, 4, rng=0), ReLU(), Dense(4, 1, rng=1), Sigmoid())
        model.load_state_dict({
            "0.weight": np.eye(4, 15, k=-3), "0.bias": [-1, -1, -1, 0],
            "2.weight": np.full((1, 4), 1e-3), "2.bias": [0],
        })  # fmt: skip
        with pytest.warns(StuckWarning) as caught:
            trainer_for(model, 1e-6).fit(x, Y, STUCK_EPOCHS, print_every=None, dual=dual)
        messages.append(str(caught[0].message))
        assert caught[0].filename == __file__
    number = r"(?<![\w.])-?\d+\.?\d*(?:e[+-]\d+)?"
    (words, numbers), (of_dual, other_numbers) = (
        (re.sub(number, "", message), [float(found) for found in re.findall(number, message)]) for message in messages
    )
    assert words == of_dual
    assert "Gradient norms: 0.weight" in messages[0]
    assert other_numbers == pytest.approx(numbers, rel=0.1)


@FORMS
def test_no_warning_before_its_time_or_in_a_run_that_learns(options: dict[str, Any]) -> None:
    assert stuck_fit(trainer_for(dead_model(), 1e-6), STUCK_EPOCHS - 1, **options)[1] == []
    history, caught = stuck_fit(trainer_for(mlp([3, 8, 1], rng=0), 0.5), 3 * STUCK_EPOCHS, **options)
    assert history["loss"][-1] < 0.6
    assert caught == []


def test_a_network_that_has_learnt_all_is_not_stuck() -> None:
    x = np.array([[-1.0], [1.0]])
    model = mlp([1, 1], rng=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        history = trainer_for(model, 100.0).fit(x, [0, 1], 2 * STUCK_EPOCHS, print_every=None)
        # One class has no baseline loss above 0 to stay at.
        trainer_for(mlp([1, 1], rng=0)).fit(x, [1, 1], 2 * STUCK_EPOCHS, print_every=None)
    assert history["loss"][-1] < 1e-3


@pytest.mark.parametrize("options", [{"class_weight": "balanced"}, {"sample_weight": np.r_[np.full(9, 1.0), 3, 3, 3]}])
def test_a_run_with_weights_can_be_stuck_too(options: dict[str, Any]) -> None:
    """At the cost of answering 0.5, as both classes weigh the same: without weights that would not be the lowest."""
    with pytest.warns(StuckWarning, match=r"stayed at 0\.6931 for 100 epochs, .* \(0\.6931\)"):
        trainer_for(dead_model(), 1e-6).fit(X, np.arange(12) > 8, STUCK_EPOCHS, print_every=None, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trainer_for(dead_model(), 1e-6).fit(X, np.arange(12) > 8, STUCK_EPOCHS, print_every=None)


def test_several_classes_can_be_stuck_too() -> None:
    model = Sequential(Dense(3, 3, weight_init="zeros"))
    trainer = Trainer(model, SoftmaxCrossEntropy(), SGD(model.parameters(), 1e-9))
    with pytest.warns(StuckWarning, match=r"stayed at 1\.0986 for .*: no ReLU\. Gradient"):
        trainer.fit(X, np.arange(12) % 3, STUCK_EPOCHS, print_every=None)


@pytest.mark.parametrize(
    ("losses", "stuck"),
    [
        ([0.6931] * STUCK_EPOCHS, True),
        ([0.6931] * (STUCK_EPOCHS - 1), False),
        ([9.0] + [0.6931] * STUCK_EPOCHS, True),
        ([0.6931] * (STUCK_EPOCHS - 1) + [0.6931 * (1 + 2 * FLAT)], False),
        ([0.6931 * (1 + FLAT * i / STUCK_EPOCHS) for i in range(STUCK_EPOCHS)], True),
        ([0.70] * STUCK_EPOCHS, True),
        ([0.71] * STUCK_EPOCHS, False),
        ([0.5] * STUCK_EPOCHS, False),
    ],
)
def test_what_is_called_stuck(losses: list[float], stuck: bool) -> None:
    assert is_stuck(losses, math.log(2)) is stuck


# --- the baseline loss, against the lowest of a constant answer on a fine grid ---------------------------------------

GRID = np.linspace(0.001, 0.999, 999)


@given(st.data(), st.floats(0.1, 10))
def test_baseline_loss_of_yes_and_no(data: st.DataObject, weight: float) -> None:
    n = data.draw(sizes)
    target = data.draw(arrays((n, 1), 0, 1))
    loss = BinaryCrossEntropy(pos_weight=weight)
    answer = loss.baseline_loss(target)
    if not 0 < target.mean() < 1:
        assert answer is None
        return
    costs = [loss(np.full((n, 1), p), target) for p in GRID]
    assert answer is not None
    assert min(costs) - 0.05 * (1 + weight) * 0.1 <= answer <= min(costs) + 1e-9
    assert loss.of_logits().baseline_loss(target[:, 0]) == answer


@given(seeds, st.integers(1, 8), st.sampled_from([0.0, 0.1, 0.5]))
def test_baseline_loss_of_two_classes(seed: int, n: int, smoothing: float) -> None:
    loss = SoftmaxCrossEntropy(smoothing, from_logits=False)
    indices = np.random.default_rng(seed).integers(0, 2, n)
    one_hot = np.eye(2)[indices]
    answer = loss.baseline_loss(one_hot)
    costs = [loss(np.tile([p, 1 - p], (n, 1)), one_hot) for p in GRID]
    if answer is None:
        assert len(set(indices.tolist())) == 1
        assert smoothing == 0
    else:
        assert min(costs) - 1e-4 <= answer <= min(costs) + 1e-9
    if smoothing:
        assert loss.baseline_loss(indices) is None
    else:
        assert loss.baseline_loss(indices) == pytest.approx(answer)


@given(seeds, st.integers(2, 5), st.sampled_from([0.0, 0.3]))
def test_baseline_loss_of_many_classes(seed: int, classes: int, smoothing: float) -> None:
    """No other distribution answers better, and the mean target answers as well."""
    rng = np.random.default_rng(seed)
    target = rng.dirichlet(np.ones(classes), 6)
    loss = SoftmaxCrossEntropy(smoothing, from_logits=False)
    answer = loss.baseline_loss(target)
    assert answer is not None
    best = (1 - smoothing) * target.mean(axis=0) + smoothing / classes
    assert loss(np.tile(best, (6, 1)), target) == pytest.approx(answer, rel=1e-9)
    for other in rng.dirichlet(np.ones(classes), 50):
        assert loss(np.tile(other, (6, 1)), target) >= answer - 1e-9


def test_a_quantity_has_no_classes_to_answer_with() -> None:
    assert MeanSquaredError().baseline_loss(np.array([[1.0], [2.0]])) is None


def test_tokens_are_not_inputs_to_be_scaled() -> None:
    model = Sequential(Embedding(99, 2, rng=0), Flatten(), Dense(6, 1, rng=1))
    x, y = np.full((4, 3), 98), np.ones((4, 1))
    trainer = Trainer(model, MeanSquaredError(), SGD(model.parameters(), learning_rate=1e30))
    with pytest.raises(NonFiniteError, match="try a learning rate below 1e"):
        trainer.fit(x, y, epochs=9, print_every=None)


def test_dead_units_of_relu6_are_found() -> None:
    model = Sequential(Dense(1, 2, weight_init="zeros", rng=0), ReLU6(), Dense(2, 1, rng=1), Sigmoid())
    model[0].bias.data[:] = -1
    x, y = np.ones((4, 1)), np.array([0, 1, 0, 1])
    trainer = Trainer(model, BinaryCrossEntropy(), SGD(model.parameters(), learning_rate=0.1))
    with pytest.warns(StuckWarning, match=r"layer 1, ReLU6\(\) 100%"):
        trainer.fit(x, y, epochs=100, print_every=None)
