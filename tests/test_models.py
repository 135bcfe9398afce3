"""Ready networks: what they are composed of, that they are right, saved, loaded and trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import seeds

from minidl import (
    Adam,
    BatchNorm,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePool2D,
    LayerInputError,
    MaxPool2D,
    ReLU,
    Residual,
    Sequential,
    SoftmaxCrossEntropy,
    Trainer,
    convnet,
    load,
    resnet,
    save,
)
from minidl._typing import Array
from minidl.testing import check_layer

widths = st.lists(st.integers(1, 3), min_size=1, max_size=2)
MAKERS: dict[str, Any] = {
    "convnet": lambda **more: convnet((9, 8, 2), [2, 3], 3, rng=0, **more),
    "convnet with dropout": lambda **more: convnet((9, 8, 2), [2, 3], 3, dropout=0.3, rng=0, **more),
    "resnet": lambda **more: resnet([1, 2], [2, 3], 3, in_channels=2, rng=0, **more),
}
SHAPE = (3, 9, 8, 2)


@settings(max_examples=5)
@given(widths, st.integers(0, 3), st.integers(0, 3), st.sampled_from([0.0, 0.3]), seeds)
def test_convnet_fulfils_the_contract(channels: list[int], more: int, wider: int, dropout: float, seed: int) -> None:
    least = 2 ** len(channels)
    shape = (least + more, least + wider, 2)

    def make(dtype: Any) -> Sequential:
        return convnet(shape, channels, 2, dropout=dropout, rng=seed, dtype=dtype)

    check_layer(make, (3, *shape), (3, 2), rng=seed)


@settings(max_examples=5)
@given(st.lists(st.tuples(st.integers(1, 2), st.integers(1, 3)), min_size=1, max_size=2), seeds)
def test_resnet_fulfils_the_contract(stages: list[tuple[int, int]], seed: int) -> None:
    depths, channels = ([stage[i] for stage in stages] for i in (0, 1))

    def make(dtype: Any) -> Sequential:
        return resnet(depths, channels, 2, in_channels=1, rng=seed, dtype=dtype)

    check_layer(make, (3, 4, 5, 1), (3, 2), rng=seed)


def test_the_layers_of_a_convnet() -> None:
    block = [Conv2D, BatchNorm, ReLU, MaxPool2D]
    assert [type(layer) for layer in convnet((9, 8, 2), [2, 3], 3, rng=0)] == [*block, *block, Flatten, Dense]
    with_dropout = convnet((9, 8, 2), [2], 3, dropout=0.3, rng=0)
    assert [type(layer) for layer in with_dropout] == [*block, Flatten, Dropout, Dense]
    assert with_dropout[-1].in_features == 4 * 4 * 2


def test_the_layers_of_a_resnet() -> None:
    network = resnet([2, 1], [3, 5], 7, rng=0)
    stem, blocks, end = [Conv2D, BatchNorm, ReLU], [Residual, ReLU], [GlobalAveragePool2D, Dense]
    assert [type(layer) for layer in network] == [*stem, *blocks, *blocks, *blocks, *end]
    residuals = [layer for layer in network if isinstance(layer, Residual)]
    assert [residual.shortcut is not None for residual in residuals] == [False, False, True]
    for residual in residuals:
        assert [type(layer) for layer in residual] == [Conv2D, BatchNorm, ReLU, Conv2D, BatchNorm]
    assert [residual[0].stride for residual in residuals] == [1, 1, 2]
    assert network[:9](np.ones((1, 9, 8, 3), np.float32)).shape == (1, 5, 4, 5)
    # The 20 layers for CIFAR-10: 0.27 million parameters, as in the paper, and 2,752 of convolutions in two shortcuts.
    count = sum(p.data.size for p in resnet([3, 3, 3], [16, 32, 64], 10, rng=0).parameters())
    assert count == 269_722 + 2_752


def test_what_does_not_fit_is_named() -> None:
    message = r"input_shape: expected at least 8 x 8 pixels, which 3 poolings halve, received 9 x 7"
    with pytest.raises(ValueError, match=message):
        convnet((9, 7, 3), [4, 4, 4], 1)
    with pytest.raises(ValueError, match=r"input_shape: expected 3 sizes, received \[9, 7\]"):
        convnet((9, 7), [4], 1)
    with pytest.raises(ValueError, match=r"channels: expected one number for each of 2 depths, received \[4\]"):
        resnet([1, 1], [4], 1)
    with pytest.raises(LayerInputError, match=r"layer 0, Conv2D.*expected \(batch, height, width, 3\)"):
        resnet([1], [4], 1, rng=0)(np.ones((2, 8, 8, 1), np.float32))


@pytest.mark.parametrize("name", MAKERS)
def test_saved_and_loaded_it_is_the_same(name: str, tmp_path: Path) -> None:
    network = MAKERS[name]()
    x = np.random.default_rng(0).standard_normal(SHAPE, dtype=np.float32)
    network(x)  # so that the running statistics are others than at the beginning
    save(network, tmp_path / "network.npz")
    again = load(tmp_path / "network.npz")
    assert repr(again) == repr(network)
    np.testing.assert_array_equal(again.predict(x), network.predict(x))


@pytest.mark.parametrize("name", MAKERS)
def test_the_seed_decides_all(name: str) -> None:
    first, second = MAKERS[name]().state_dict(), MAKERS[name]().state_dict()
    assert all(np.array_equal(first[key], second[key]) for key in first)
    assert MAKERS[name](dtype=np.float64).parameters()[0].data.dtype == np.float64


def corners(count: int) -> tuple[Array, Array]:
    """Return noisy pictures with a bright spot in one of four corners, and the number of the corner."""
    rng = np.random.default_rng(0)
    y = rng.integers(4, size=count)
    x = 0.3 * rng.standard_normal((count, 8, 8, 1), dtype=np.float32)
    for picture, corner in zip(x, y, strict=True):
        picture[4 * (corner // 2) : 4 * (corner // 2) + 4, 4 * (corner % 2) : 4 * (corner % 2) + 4] += 1
    return x, y


def test_convnet_learns() -> None:
    x, y = corners(160)
    network = convnet((8, 8, 1), [4, 8], 4, rng=0)
    trainer = Trainer(network, SoftmaxCrossEntropy(), Adam(network.parameters(), 0.01))
    trainer.fit(x[:120], y[:120], 10, batch_size=20, rng=0, print_every=None)
    assert trainer.evaluate(x[120:], y[120:])["accuracy"] >= 0.95


def test_resnet_learns() -> None:
    # Stripes that lie or stand, which the mean over all pixels does not show: it needs the convolutions before it.
    rng = np.random.default_rng(0)
    y = rng.integers(2, size=160)
    stripes = np.broadcast_to((np.arange(8) // 2 % 2)[:, None], (8, 8))
    x = np.stack([stripes if stands else stripes.T for stands in y])[..., None]
    x = (x + 0.5 * rng.standard_normal(x.shape)).astype(np.float32)
    network = resnet([1, 1], [4, 8], 2, in_channels=1, rng=0)
    trainer = Trainer(network, SoftmaxCrossEntropy(), Adam(network.parameters(), 0.01))
    trainer.fit(x[:120], y[:120], 10, batch_size=20, rng=0, print_every=None)
    assert trainer.evaluate(x[120:], y[120:])["accuracy"] >= 0.95
