"""Parameter groups: a weight decay and a share of the learning rate for some parameters, saved, resumed, dual."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import seeds

from minidl import (
    SGD,
    Adagrad,
    Adam,
    AdamW,
    BatchNorm,
    BinaryCrossEntropy,
    Checkpoint,
    Dense,
    LearningRateSchedule,
    Lion,
    NAdam,
    NonFiniteError,
    Optimizer,
    Parameter,
    ReLU,
    RMSProp,
    Sequential,
    Trainer,
    decay_groups,
)
from minidl._typing import Array

ALL: list[Callable[..., Optimizer]] = [SGD, Adam, AdamW, NAdam, RMSProp, Adagrad, Lion]
RNG = np.random.default_rng(0)
X = RNG.normal(size=(12, 40))
Y = (X[:, :1] > 0).astype(float)


def model_of(seed: int = 0) -> Sequential:
    return Sequential(
        Dense(40, 4, rng=seed, dtype="float64"), BatchNorm(4, dtype="float64"), ReLU(),
        Dense(4, 1, rng=seed, dtype="float64"),
    )  # fmt: skip


@pytest.mark.parametrize("kind", ALL)
@settings(max_examples=20)
@given(st.floats(0, 3), st.floats(0, 0.5), st.floats(0, 0.5), seeds)
def test_groups_are_optimizers_of_their_own(
    kind: Callable[..., Optimizer], factor: float, decay: float, other: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    start = [rng.normal(size=3) for _ in range(3)]
    a, b, c = (Parameter(s) for s in start)
    whole = kind([a, {"parameters": [b], "learning_rate_factor": factor}, {"parameters": [c], "weight_decay": other}],
                 learning_rate=0.25, weight_decay=decay)  # fmt: skip
    rates, decays = (0.25, 0.25 * factor, 0.25), (decay, decay, other)
    parts = [
        kind([Parameter(s)], learning_rate=r, weight_decay=d) for s, r, d in zip(start, rates, decays, strict=True)
    ]
    for _ in range(4):
        for parameter, part in zip(whole.parameters, parts, strict=True):
            parameter.grad = part.parameters[0].grad = rng.normal(size=3)
            part.step()
        whole.step()
        assert whole.learning_rate == 0.25
    for parameter, part in zip(whole.parameters, parts, strict=True):
        np.testing.assert_array_equal(parameter.data, part.parameters[0].data)


def test_an_optimizer_of_ones_own_has_groups_too() -> None:
    class SignDescent(Optimizer):
        def update(self, data: Array, gradient: Array, state: dict[str, Array]) -> None:
            data -= self.learning_rate * np.sign(gradient)

    a, b = Parameter(np.zeros(1)), Parameter(np.zeros(1))
    a.grad = b.grad = np.ones(1)
    optimizer = SignDescent([{"parameters": [("a", a)], "learning_rate_factor": 0.5}, ("b", b)], 1.0)
    optimizer.step()
    assert [a.data.item(), b.data.item()] == [-0.5, -1.0]
    assert optimizer.names == ["a", "b"]
    with pytest.raises(ValueError, match="expected no 'weight_decay', as the optimizer has none"):
        SignDescent([{"parameters": [a], "weight_decay": 0.5}], 1.0)


def test_what_decays() -> None:
    model = model_of()
    groups = decay_groups(model.named_parameters())
    assert [name for name, _ in groups[0]["parameters"]] == ["0.weight", "3.weight"]
    assert [name for name, _ in groups[1]["parameters"]] == ["0.bias", "1.weight", "1.bias", "3.bias"]
    optimizer = SGD(groups, learning_rate=0.5, weight_decay=0.5)
    before = model.state_dict()
    for parameter in model.parameters():
        parameter.grad = np.zeros(parameter.shape)
    optimizer.step()
    for name, parameter in model.named_parameters():
        np.testing.assert_array_equal(parameter.data, before[name] * (0.75 if name in ("0.weight", "3.weight") else 1))
    assert len(decay_groups([Parameter(np.zeros(2))])) == 1
    with pytest.raises(TypeError, match=r"decay_groups parameters\[0\]: expected a Parameter, received 1"):
        decay_groups([1])  # type: ignore[list-item]
    with pytest.raises(TypeError, match=r"decay_groups parameters: expected a list, as model.parameters"):
        decay_groups(model)  # type: ignore[arg-type]


def trainer_of(model: Sequential, factor: float = 0.5) -> Trainer:
    groups: list[Any] = [
        {"parameters": [(f"0.{name}", p) for name, p in model[0].named_parameters()], "learning_rate_factor": factor},
        *decay_groups([(name, p) for name, p in model.named_parameters() if not name.startswith("0.")]),
    ]
    return Trainer(model, BinaryCrossEntropy(from_logits=True), SGD(groups, 0.1, momentum=0.5, weight_decay=0.01))


def test_the_dual_form_keeps_to_the_groups() -> None:
    models = model_of(), model_of()
    for model, dual in zip(models, (False, True), strict=True):
        trainer_of(model).fit(X, Y, 30, dual=dual, print_every=None,
                              callbacks=[LearningRateSchedule(lambda epoch: 0.1 / (1 + epoch))])  # fmt: skip
    for name, array in models[0].state_dict().items():
        np.testing.assert_allclose(array, models[1].state_dict()[name], rtol=1e-9, atol=1e-11)
    plain = model_of()
    trainer_of(plain, factor=1.0).fit(X, Y, 30, dual=True, print_every=None)
    assert not np.allclose(plain[0].weight.data, models[1][0].weight.data, rtol=1e-3)


def test_groups_are_saved_and_resumed(tmp_path: Path) -> None:
    whole, part, again = model_of(), model_of(), model_of(7)
    options: dict[str, Any] = {"batch_size": 5, "rng": 1, "print_every": None}
    trainer_of(whole).fit(X, Y, 9, callbacks=[Checkpoint(tmp_path / "w", 4)], **options)
    trainer_of(part).fit(X, Y, 4, callbacks=[Checkpoint(tmp_path / "p", 4)], **options)
    resumed = trainer_of(again)
    resumed.resume(tmp_path / "p")
    resumed.fit(X, Y, 9, callbacks=[Checkpoint(tmp_path / "p", 4)], **options)
    for name, array in whole.state_dict().items():
        np.testing.assert_array_equal(array, again.state_dict()[name])
    with pytest.raises(ValueError, match="the checkpoint's SGD has other settings; groups: expected"):
        trainer_of(model_of(), factor=0.25).resume(tmp_path / "p")


def test_an_error_in_a_step_leaves_the_settings_as_they_were() -> None:
    w = Parameter(np.zeros(1, np.float32))
    optimizer = Adam([{"parameters": [w], "learning_rate_factor": 0.5, "weight_decay": 1.0}], 0.5, weight_decay=0.25)
    w.grad = np.array([1e30], np.float32)
    with pytest.raises(NonFiniteError, match=r"Adam parameters\[0\]"):
        optimizer.step()
    assert (optimizer.learning_rate, optimizer.weight_decay) == (0.5, 0.25)


def test_groups_that_are_none() -> None:
    w = Parameter(np.zeros(1))
    cases: list[tuple[dict[str, Any], str]] = [
        ({}, r"SGD parameters\[0\]: expected a group of 'parameters' with"),
        ({"params": [w]}, r"received the entries params"),
        ({"parameters": [w], "lr": 1}, "received the entries parameters, lr"),
        ({"parameters": [w], "weight_decay": -1}, r"SGD parameters\[0\] weight_decay: expected a finite number of at"),
        ({"parameters": [w], "learning_rate_factor": "x"}, r"SGD parameters\[0\] learning_rate_factor: expected"),
    ]
    for group, message in cases:
        with pytest.raises(ValueError, match=message):
            SGD([group])
    with pytest.raises(ValueError, match="is given twice"):
        SGD([{"parameters": [("a", w)]}, ("a", w)])
    with pytest.raises(TypeError, match=r"SGD parameters\[0\] parameters: expected a list"):
        SGD([{"parameters": w}])
    with pytest.raises(ValueError, match="SGD parameters: expected at least one, received none"):
        SGD([{"parameters": []}])
