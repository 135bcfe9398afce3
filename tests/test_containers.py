"""Parallel and Residual: merging, gradients, names, nesting, and all that sees through them."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import arrays, seeds, sizes

from minidl import (
    SGD,
    BatchNorm,
    BinaryCrossEntropy,
    Conv2D,
    Dense,
    Flatten,
    GlobalAveragePool2D,
    LayerInputError,
    MaxPool2D,
    Module,
    Parallel,
    ReLU,
    Residual,
    Sequential,
    Sigmoid,
    Softmax,
    Tanh,
    Trainer,
    load,
    save,
)
from minidl._typing import Array
from minidl.testing import check_layer, gradcheck

MERGED: dict[str, Callable[[list[Array]], Array]] = {
    "sum": lambda outputs: sum(outputs[1:], outputs[0]),
    "mean": lambda outputs: np.mean(outputs, axis=0),
    "multiply": lambda outputs: reduce(lambda a, b: a * b, outputs),
    "concatenate": lambda outputs: np.concatenate(outputs, axis=-1),
}


@given(st.data(), st.sampled_from(sorted(MERGED)), st.integers(1, 4), seeds)
def test_outputs_are_merged(data: st.DataObject, merge: Any, count: int, seed: int) -> None:
    inputs, outputs = data.draw(sizes), data.draw(sizes)
    widths = [data.draw(sizes) if merge == "concatenate" else outputs for _ in range(count)]
    branches = [Dense(inputs, width, rng=seed + i, dtype=np.float64) for i, width in enumerate(widths)]
    x = data.draw(arrays((data.draw(sizes), inputs), -3, 3))
    expected = MERGED[merge]([branch(x) for branch in branches])
    np.testing.assert_allclose(Parallel(*branches, merge=merge)(x), expected, rtol=1e-12, atol=1e-12)


@given(st.data(), st.sampled_from(sorted(MERGED)), st.integers(1, 3), seeds)
@settings(max_examples=50)
def test_the_contract_of_parallel(data: st.DataObject, merge: Any, count: int, seed: int) -> None:
    n, inputs, outputs = (data.draw(sizes) for _ in range(3))
    width = outputs * count if merge == "concatenate" else outputs

    def make(dtype: np.dtype[Any]) -> Module:
        return Parallel(
            *(Sequential(Dense(inputs, outputs, rng=i, dtype=dtype), Tanh()) for i in range(count)), merge=merge
        )

    check_layer(make, (n, inputs), (n, width), strict=True, rng=seed)


@given(st.data(), st.booleans(), seeds)
@settings(max_examples=50)
def test_the_contract_of_residual(data: st.DataObject, has_shortcut: bool, seed: int) -> None:
    n, inputs = data.draw(sizes), data.draw(sizes)
    outputs = data.draw(sizes) if has_shortcut else inputs

    def make(dtype: np.dtype[Any]) -> Module:
        shortcut = Dense(inputs, outputs, rng=2, dtype=dtype) if has_shortcut else None
        layers = Dense(inputs, 3, rng=0, dtype=dtype), Tanh(), Dense(3, outputs, rng=1, dtype=dtype)
        return Residual(*layers, shortcut=shortcut)

    check_layer(make, (n, inputs), (n, outputs), strict=True, rng=seed)


def unet(dtype: Any = np.float32, channels: int = 2) -> Sequential:
    """Return a network in the form of a U: pictures go past a deeper part, and beside its answer."""
    deeper = Sequential(
        Conv2D(channels, channels, 3, padding="same", rng=0, dtype=dtype), BatchNorm(channels, dtype=dtype), ReLU()
    )
    level = Parallel(
        Sequential(), Residual(deeper, Conv2D(channels, channels, 1, rng=1, dtype=dtype)), merge="concatenate"
    )
    head = Dense(2 * channels, 1, rng=3, dtype=dtype)
    return Sequential(Conv2D(1, channels, 3, rng=2, dtype=dtype), level, MaxPool2D(2), GlobalAveragePool2D(), head)


def test_a_nested_network_has_right_gradients() -> None:
    x = np.random.default_rng(1).normal(size=(3, 6, 6, 1))
    assert gradcheck(unet(np.float64), x, rng=0) < 1e-5
    target = np.array([[1.0], [0.0], [1.0]])
    assert gradcheck((unet(np.float64), BinaryCrossEntropy(from_logits=True)), x, target, rng=0) < 1e-5


def test_names_are_paths() -> None:
    names = ["0.weight", "0.bias", "shortcut.0.weight", "shortcut.0.bias"]
    model = Residual(Dense(2, 3), shortcut=Sequential(Dense(2, 3)))
    assert list(model.state_dict()) == names
    branches = Parallel(Dense(2, 3, bias=False), model)
    assert list(branches.state_dict()) == ["0.weight", *(f"1.{name}" for name in names)]


def test_a_nested_network_is_saved_and_loaded(tmp_path: Path) -> None:
    model = unet()
    shortcut = Residual(Dense(1, 2, rng=4), shortcut=Parallel(Dense(1, 2, rng=5), merge="mean"))
    model = Sequential(*model, shortcut, Dense(2, 1, rng=6))
    save(model, tmp_path / "model.npz")
    again = load(tmp_path / "model.npz")
    x = np.random.default_rng(0).normal(size=(2, 6, 6, 1)).astype(np.float32)
    assert repr(again) == repr(model)
    assert again.predict(x).tobytes() == model.predict(x).tobytes()


def test_a_nested_network_is_trained_like_a_loop_of_ones_own() -> None:
    x = np.random.default_rng(0).normal(size=(12, 6, 6, 1)).astype(np.float32)
    y = (x.mean(axis=(1, 2)) > 0).astype(np.float32)
    model, other = (Sequential(*unet(), Sequential(Sigmoid())) for _ in range(2))
    history = Trainer(model, BinaryCrossEntropy(), SGD(model.parameters(), 0.1)).fit(x, y, 5, print_every=None)
    network, loss = Sequential(*list(other)[:-1]), BinaryCrossEntropy(from_logits=True)
    optimizer = SGD(network.parameters(), 0.1)
    for cost in history["loss"]:
        output = network(x)
        assert cost == pytest.approx(loss(output, y), rel=1e-5)
        network.backward(loss.gradient(output, y))
        optimizer.step()
    for name, array in model.state_dict().items():
        np.testing.assert_allclose(array, other.state_dict()[name], rtol=1e-4, atol=1e-6)


def test_the_summary_is_a_tree(capsys: pytest.CaptureFixture[str]) -> None:
    Sequential(
        Dense(4, 3), Residual(Dense(3, 3), ReLU(), shortcut=Sequential()), Parallel(Sequential(), Softmax())
    ).summary()
    assert [line.rstrip() for line in capsys.readouterr().out.splitlines()] == [
        "layer                       output shape    parameters",
        "0  Dense(4 -> 3)            (batch, 3)              15",
        "1  Residual                 (batch, 3)",
        "  0  Dense(3 -> 3)          (batch, 3)              12",
        "  1  ReLU()                 (batch, 3)               0",
        "  shortcut  Sequential()    (batch, 3)               0",
        "2  Parallel                 (batch, 3)",
        "  0  Sequential()           (batch, 3)               0",
        "  1  Softmax()              (batch, 3)               0",
        "total                                               27",
    ]


@pytest.mark.parametrize(
    ("kind", "modules", "options", "message"),
    [
        (Parallel, [], {}, "Parallel: expected at least one branch, received none"),
        (Parallel, [ReLU()], {"merge": "max"}, "Parallel merge: expected one of 'sum', 'mean', 'multiply', 'concat"),
        (Parallel, [ReLU(), 3], {}, "Parallel, argument 1: expected a Module, received 3"),
        (Residual, [ReLU], {}, r"Residual, argument 0: expected a Module, .*; write ReLU\(...\) for an instance"),
        (Residual, [ReLU()], {"shortcut": "x"}, "Residual shortcut: expected a Module, received 'x'"),
    ],
)
def test_plain_mistakes(kind: Any, modules: list[Any], options: dict[str, Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        kind(*modules, **options)


def test_a_layer_cannot_stand_twice() -> None:
    layer = ReLU()
    for make in (lambda: Parallel(layer, layer), lambda: Residual(layer, shortcut=layer)):
        with pytest.raises(ValueError, match="stands here twice; make a second layer"):
            make()


def test_outputs_that_do_not_fit_are_refused_by_path() -> None:
    x = np.zeros((2, 4), np.float32)
    block = Residual(Dense(4, 3))
    with pytest.raises(LayerInputError, match=r"layer 1, Residual.*one shape, received \(2, 3\), \(2, 4\); give a sh"):
        Sequential(ReLU(), block)(x)
    with pytest.raises(LayerInputError, match=r"^Parallel.*expected outputs of one shape, received \(2, 3\), \(2, 2\)"):
        Parallel(Dense(4, 3), Dense(4, 2))(x)
    with pytest.raises(LayerInputError, match=r"one shape but for the last axis, received \(2, 1, 4\), \(2, 4\)"):
        Parallel(Sequential(), Flatten(), merge="concatenate")(x[:, None])


def test_an_input_of_higher_precision_is_passed_on_in_the_layers() -> None:
    x = np.arange(4.0).reshape(2, 2)
    for block in (Residual(Dense(2, 2, rng=0)), Parallel(Sequential(), Dense(2, 2, rng=0))):
        assert block(x).dtype == np.float32
        assert block.backward(np.ones((2, 2), np.float32)).dtype == np.float32
    with pytest.raises(LayerInputError, match="too large for float32"):
        Residual(Dense(2, 2, rng=0))(x * 1e300)


@pytest.mark.parametrize("make", [lambda dense: Residual(dense), lambda dense: Parallel(Sequential(), dense)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("given", [np.int8, np.int16, np.int64, np.float32, np.float64])
def test_what_is_passed_on_has_no_say_in_the_precision(
    make: Callable[[Module], Module], dtype: Any, given: Any
) -> None:
    dense, x = Dense(2, 2, rng=0, dtype=dtype), np.array([[1, 2], [3, 4]], given)
    y = make(dense)(x)
    assert y.dtype == dtype
    np.testing.assert_allclose(y, x + dense(x), rtol=1e-6)


def test_whole_numbers_alone_are_not_added_up() -> None:
    with pytest.raises(LayerInputError, match="expected floating outputs, received dtype int8"):
        Parallel(Sequential(), Sequential())(np.array([[100]], np.int8))
