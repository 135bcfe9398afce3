"""Normalize: mean and scale of each feature, taken from samples wherever they are, kept with the model."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidl import SGD, BinaryCrossEntropy, Dense, Flatten, Normalize, Sequential, Sigmoid, Trainer, load, save
from minidl.layers import normalize
from minidl.ops import tuning

SHAPES = st.tuples(st.integers(1, 7), st.integers(1, 3), st.integers(1, 4))


@given(shape=SHAPES, rows=st.integers(1, 4), seed=st.integers(0, 2**32 - 1))
def test_mean_and_deviation_whatever_is_read_at_once(shape: tuple[int, ...], rows: int, seed: int) -> None:
    x = 1000 + np.random.default_rng(seed).normal(size=shape)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(normalize, "NUMBERS", rows * math.prod(shape[1:]))
        layer = Normalize(shape[-1], dtype=np.float64).adapt(x)
    flat = x.reshape(-1, shape[-1])
    np.testing.assert_allclose(layer.mean.data, flat.mean(axis=0), rtol=1e-12)
    if len(flat) == 1:
        assert (layer.scale.data == 1).all()
        return
    # Two numbers near 1,000 may differ by any small amount: their deviation has an error of their last digits.
    np.testing.assert_allclose(layer.scale.data, flat.std(axis=0), rtol=1e-9, atol=1e-11)


def test_the_formula() -> None:
    x = np.random.default_rng(0).normal(3, 2, (50, 2, 3))
    layer = Normalize(3, dtype=np.float64).adapt(x)
    y = layer(x).reshape(-1, 3)
    np.testing.assert_allclose(y.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(y.std(axis=0), 1)
    np.testing.assert_allclose(layer.backward(np.ones((50, 2, 3)))[0, 0], 1 / x.reshape(-1, 3).std(axis=0))


def test_a_feature_that_never_changes_keeps_its_scale() -> None:
    layer = Normalize(2).adapt(np.array([[7, 1], [7, 3]], np.uint8))
    assert layer(np.array([[7, 1], [8, 3]], np.uint8)).tolist() == [[0, -1], [1, 1]]
    assert Normalize(2)([[3, 4]]).tolist() == [[3, 4]]


@given(value=st.floats(-1e6, 1e6), n=st.integers(1, 3000), dtype=st.sampled_from([np.float32, np.float64]))
def test_rounding_is_no_deviation(value: float, n: int, dtype: Any) -> None:
    layer = Normalize(1, dtype=dtype).adapt(np.full((n, 1), value))
    assert layer.scale.data.tolist() == [1]


def test_samples_that_stay_on_disk(tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(0, 256, (3000, 2, 2, 3)).astype(np.uint8)
    x.tofile(tmp_path / "x")
    on_disk = np.memmap(tmp_path / "x", np.uint8, "r", shape=x.shape)
    layer = Normalize(3).adapt(on_disk)
    np.testing.assert_allclose(layer.mean.data, x.mean(axis=(0, 1, 2)), rtol=1e-6)
    np.testing.assert_allclose(layer.scale.data, x.std(axis=(0, 1, 2)), rtol=1e-6)


def test_it_travels_in_the_model_file_and_is_not_trained(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(5, 3, (20, 4)).astype(np.float32)
    model = Sequential(Normalize(4).adapt(x), Dense(4, 1, rng=0), Sigmoid())
    before = {name: array for name, array in model.state_dict().items() if name.startswith("0.")}
    assert sorted(before) == ["0.mean", "0.scale"]
    Trainer(model, BinaryCrossEntropy(), SGD(model.parameters())).fit(x, x[:, 0] > 5, 3, print_every=None)
    for name, array in before.items():
        np.testing.assert_array_equal(model.state_dict()[name], array)
    save(model, tmp_path / "model.npz")
    np.testing.assert_array_equal(load(tmp_path / "model.npz").predict(x), model.predict(x))


@pytest.mark.parametrize("batch_size", [None, 4])
@pytest.mark.parametrize("width", [1, 5, 100])
def test_constant_inputs_and_the_dual_form_are_the_plain_descent(
    monkeypatch: pytest.MonkeyPatch, batch_size: int | None, width: int
) -> None:
    """Against layers that no rewrite knows, and with columns in blocks that cut across the features."""
    monkeypatch.setattr(tuning, "TUNING", tuning.TUNING._replace(gram_features=width))

    class Own(Normalize):
        pass

    rng = np.random.default_rng(0)
    x, y = rng.normal(5, 3, (6, 3, 4)), np.array([0, 1, 1, 0, 1, 0])
    found = []
    for kind, dual in ((Own, False), (Normalize, False), (Normalize, True)):
        layers = kind(4, dtype=np.float64).adapt(x), Flatten(), Dense(12, 1, rng=0, dtype=np.float64), Sigmoid()
        model = Sequential(*layers)
        trainer = Trainer(model, BinaryCrossEntropy(), SGD(model.parameters(), 0.1, momentum=0.5))
        history = trainer.fit(x, y, 5, batch_size, validation_data=(x[:2], y[:2]), print_every=None, rng=0, dual=dual)
        found.append([*history["val_loss"], *model.predict(x).ravel()])
    np.testing.assert_allclose(found[0], found[1], rtol=1e-9)
    np.testing.assert_allclose(found[0], found[2], rtol=1e-9)


TOO_LARGE = "adapt: expected numbers with a mean and a deviation that float32 holds"


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((3, 5)), r"adapt: expected samples \(n, ..., 4\), received \(3, 5\)"),
        (np.zeros((0, 4)), r"adapt: expected samples \(n, ..., 4\), received \(0, 4\)"),
        (np.zeros(4), r"adapt: expected samples \(n, ..., 4\), received \(4,\)"),
        ([["a"] * 4], "expected numbers"),
        ([[1.0, 2.0, np.nan, 4.0]], "adapt: expected finite numbers"),
        (np.full((3, 4), 1e39), TOO_LARGE),
        (np.array([[1e200] * 4, [-1e200] * 4]), TOO_LARGE),
    ],
)
def test_what_it_cannot_adapt_to(x: Any, message: str) -> None:
    layer = Normalize(4)
    with pytest.raises(ValueError, match=message):
        layer.adapt(x)
    assert layer.scale.data.tolist() == [1, 1, 1, 1]


def test_input_of_another_shape() -> None:
    with pytest.raises(ValueError, match=r"layer 0, Normalize\(4\): expected \(batch, ..., 4\), received \(2, 3\)"):
        Sequential(Normalize(4))(np.zeros((2, 3)))
