"""MixUp, CutMix and Compose: each against a plain form of it, and the training on mixed targets."""

from __future__ import annotations

import math
import pickle
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from strategies import arrays, dtypes, seeds

from minidl import (
    SGD,
    BinaryCrossEntropy,
    Callback,
    Checkpoint,
    Dense,
    Flatten,
    Rescale,
    Run,
    Sequential,
    SoftmaxCrossEntropy,
    Trainer,
    mlp,
)
from minidl._typing import Array
from minidl.data import Augment, Batches, Compose, CutMix, LazyImages, MixUp, RandomResizedCrop
from minidl.losses import Loss

pictures = hnp.arrays(np.uint8, hnp.array_shapes(min_dims=4, max_dims=4, max_side=6))
alphas = st.floats(0.001, 1000)
PIXELS = np.random.default_rng(0).integers(0, 256, size=(10, 4, 4, 3)).astype(np.uint8)
LABELS = np.arange(10) % 3
MIXINGS: list[Any] = [MixUp, CutMix]


def naive_rows(y: Array, classes: int) -> Array:
    return np.array([[float(k == c) for c in range(classes)] for k in y]).reshape(-1, classes)


def naive_mixture(x: Array, share: float, order: Array) -> Array:
    return np.array([share * x[i].astype(float) + (1 - share) * x[k].astype(float) for i, k in enumerate(order)])


def drawn(alpha: float, seed: int, n: int) -> tuple[float, Array, np.random.Generator]:
    """What both draw first, and the generator after it."""
    rng = np.random.default_rng(seed)
    share = rng.beta(alpha, alpha)
    return share, rng.permutation(n), rng


@given(st.data(), alphas, seeds, st.sampled_from([np.float32, np.float64]))
def test_mixup_against_the_plain_formula(data: st.DataObject, alpha: float, seed: int, dtype: Any) -> None:
    n, classes = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 4))
    x = data.draw(arrays((n, 2, 3), dtype=dtype))
    y = data.draw(hnp.arrays(np.int64, n, elements=st.integers(0, classes - 1)))
    before = x.copy(), y.copy()
    mixed, rows = MixUp(alpha, classes, rng=seed)(x, y)
    share, order, _ = drawn(alpha, seed, n)
    assert mixed.dtype == dtype
    assert rows.dtype == np.float32
    np.testing.assert_allclose(mixed, naive_mixture(x, share, order), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(rows, naive_mixture(naive_rows(y, classes), share, order), atol=1e-6)
    assert (rows.sum(axis=1) == 1).all()
    assert not np.shares_memory(mixed, x)
    np.testing.assert_array_equal(x, before[0])
    np.testing.assert_array_equal(y, before[1])


@given(pictures, alphas, seeds)
def test_mixup_rounds_pictures(x: Array, alpha: float, seed: int) -> None:
    mixed, column = MixUp(alpha, rng=seed)(x, np.ones((len(x), 1), np.int64))
    share, order, _ = drawn(alpha, seed, len(x))
    assert mixed.dtype == np.uint8
    assert (np.abs(mixed - naive_mixture(x, share, order)) <= 0.5 + 1e-3).all()
    np.testing.assert_array_equal(column, np.ones((len(x), 1), np.float32))


@given(pictures, alphas, seeds)
def test_cutmix_against_the_plain_form(x: Array, alpha: float, seed: int) -> None:
    y = np.arange(len(x))
    before = x.copy()
    mixed, rows = CutMix(alpha, len(x), rng=seed)(x, y)
    share, order, rng = drawn(alpha, seed, len(x))
    inside = np.ones(x.shape[1:3], bool)
    for axis, side in enumerate(x.shape[1:3]):
        length = math.floor(math.sqrt(1 - round(share * 2**24) / 2**24) * side)
        centre = int(rng.integers(side))
        at = np.arange(side)
        along = (at >= centre - length // 2) & (at < centre - length // 2 + length)
        inside &= along[:, None] if axis == 0 else along
    expected = np.array([np.where(inside[..., None], x[k], one) for one, k in zip(x, order, strict=True)])
    assert mixed.dtype == np.uint8
    np.testing.assert_array_equal(mixed, expected)
    outside = 1 - inside.sum() / inside.size
    np.testing.assert_allclose(rows, naive_mixture(naive_rows(y, len(x)), outside, order), atol=1e-6)
    assert (rows.sum(axis=1) == 1).all()
    np.testing.assert_array_equal(x, before)


def test_small_alphas_mix_little_and_large_ones_by_halves() -> None:
    x, y = np.zeros((2, 8, 8, 1), np.uint8), np.array([0, 1])
    for alpha, low, high in ((0.1, 0.3, 0.5), (1.0, 0.2, 0.3), (100.0, 0.0, 0.05)):  # 0.42, 0.25 and 0.03 on average
        augment = MixUp(alpha, 2, rng=0)
        shares = np.array([augment(x, y)[1][0, 0] for _ in range(400)])
        exchanged = shares[shares < 1]
        assert low < np.abs(exchanged - 0.5).mean() < high
        assert 0.35 < len(exchanged) / 400 < 0.65  # half of the permutations of two exchange them


@given(dtypes.flatmap(lambda dtype: arrays((4, 3), 0, 1, dtype)), alphas, seeds)
def test_floating_targets_keep_their_dtype_and_range(y: Array, alpha: float, seed: int) -> None:
    for mixing in MIXINGS:
        _, mixed = mixing(alpha, rng=seed)(np.zeros((4, 2, 2, 1), np.uint8), y)
        assert mixed.dtype == y.dtype
        assert mixed.min() >= 0
        assert mixed.max() <= 1


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_largest_and_smallest_numbers_stay_finite(dtype: Any) -> None:
    limits = np.finfo(dtype)
    x = np.array([[limits.max], [limits.max], [-limits.max], [limits.smallest_subnormal]], dtype)
    for seed in range(200):
        with np.errstate(all="raise"):
            mixed, _ = MixUp(1.0, rng=seed)(x, x)
        assert np.isfinite(mixed).all()


def test_several_inputs_are_mixed_alike() -> None:
    x, table = PIXELS.astype(np.float32), PIXELS[:, 0, 0].astype(np.float64)
    (first, second), rows = MixUp(1.0, 3, rng=0)((x, table), LABELS)
    np.testing.assert_allclose(first[:, 0, 0], second, rtol=1e-5)
    alone, same = MixUp(1.0, 3, rng=0)(x, LABELS)
    np.testing.assert_array_equal(first, alone)
    np.testing.assert_array_equal(rows, same)


@pytest.mark.parametrize("mixing", MIXINGS)
def test_bad_arguments(mixing: Any) -> None:
    name = mixing.__name__
    for alpha in (0, -1.0, math.nan, 1001, "1", True):
        with pytest.raises(ValueError, match=f"{name} alpha: expected a number from 0.001 to 1000, received"):
            mixing(alpha)
    with pytest.raises(ValueError, match=f"{name} classes: expected a whole number of at least 1, received 0"):
        mixing(1.0, 0)
    with pytest.raises(ValueError, match=f"{name} classes: expected the number of classes for targets int64"):
        mixing(1.0)(PIXELS, LABELS)
    for labels in (LABELS + 1, LABELS - 1):
        with pytest.raises(ValueError, match=f"{name} classes: expected class numbers from 0 to 2, received some"):
            mixing(1.0, 3)(PIXELS, labels)
    with pytest.raises(ValueError, match=f"{name}: expected floating targets, class numbers .* from 0 to 2"):
        mixing(1.0, 3)(PIXELS, LABELS[:, None])
    for targets in ((LABELS, LABELS), "a", np.array(["a"] * 10)):
        with pytest.raises(TypeError, match=f"{name}: expected targets in one array of numbers, received"):
            mixing(1.0, 3)(PIXELS, targets)


def test_bad_samples() -> None:
    x: Any
    for x in (PIXELS.astype(np.int64), [1.0], (PIXELS, None)):
        with pytest.raises(TypeError, match="MixUp: expected uint8 pictures or floating samples, received"):
            MixUp(1.0, 3)(x, LABELS)
    with pytest.raises(ValueError, match=r"CutMix: expected pictures \(n, height, width, channels\), received"):
        CutMix(1.0, 3)(PIXELS[0], LABELS)
    with pytest.raises(TypeError, match="CutMix: expected an array of pictures, received"):
        CutMix(1.0, 3)((PIXELS, PIXELS), LABELS)


def test_compose_calls_one_after_another() -> None:
    composed = Compose(Augment(flip=True, rng=1), MixUp(1.0, 3, rng=2), CutMix(1.0, rng=3))
    x, y = MixUp(1.0, 3, rng=2)(Augment(flip=True, rng=1)(PIXELS), LABELS)
    x, y = CutMix(1.0, rng=3)(x, y)
    result = composed(PIXELS, LABELS)
    np.testing.assert_array_equal(result[0], x)
    np.testing.assert_array_equal(result[1], y)
    assert (composed.takes_targets, composed.works_ahead) == (True, True)
    plain = Compose(Augment(flip=True, rng=1), RandomResizedCrop(rng=2))
    expected = RandomResizedCrop(rng=2)(Augment(flip=True, rng=1)(PIXELS))
    np.testing.assert_array_equal(plain(PIXELS), expected)
    assert (plain.takes_targets, plain.works_ahead) == (False, True)
    assert not Compose(plain, lambda x: x).works_ahead
    np.testing.assert_array_equal(Compose(composed, Augment(rng=0))(PIXELS, LABELS)[1].sum(axis=1), 1)


def test_compose_refuses() -> None:
    not_callable: Any = None
    for parts in ((), (Augment(), not_callable)):
        with pytest.raises(TypeError, match="Compose: expected augmentations that can be called, received"):
            Compose(*parts)
    with pytest.raises(TypeError, match="Compose: expected samples and targets, received 1 arguments"):
        Compose(MixUp(1.0))(PIXELS)
    with pytest.raises(TypeError, match="Compose: expected samples alone, received 2 arguments"):
        Compose(Augment())(PIXELS, LABELS)


@pytest.mark.parametrize("batch_size", [None, 4])
def test_batches_mix_samples_and_targets_together(batch_size: int | None) -> None:
    x = np.eye(10, dtype=np.float32)
    for mixed, rows in Batches(x, np.arange(10), batch_size, rng=1, augment=MixUp(1.0, 10, rng=2)):
        np.testing.assert_array_equal(mixed, rows)
    plain = [y for _, y in Batches(x, LABELS, batch_size, rng=1)]
    mixed = [y for _, y in Batches(x, LABELS, batch_size, rng=1, augment=MixUp(1.0, 3, rng=2))]
    assert [len(y) for y in plain] == [len(y) for y in mixed]


class Answers:
    """An augmentation that takes targets and returns what it was told."""

    takes_targets = True

    def __init__(self, answer: Callable[[Any, Any], Any]) -> None:
        self.answer = answer

    def __call__(self, x: Any, y: Any) -> Any:
        return self.answer(x, y)


@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        (lambda x, y: x, TypeError, "augment: expected it to return samples and targets, received ndarray"),
        (lambda x, y: (x, y.tolist()), TypeError, "augment: expected it to return an array, received list"),
        (lambda x, y: (x, y[:-1]), ValueError, "expected "),
        (lambda x, y: (x, y * np.nan), ValueError, "SoftmaxCrossEntropy target: expected "),
        (lambda x, y: (x, np.ones((len(y), 3))), ValueError, "SoftmaxCrossEntropy target: expected "),
        (lambda x, y: (x, np.eye(4)[y]), ValueError, "SoftmaxCrossEntropy: expected a target of shape"),
    ],
)
def test_wrong_answers_of_an_augmentation_are_refused(answer: Any, error: Any, message: str) -> None:
    trainer = a_trainer()
    before = trainer.model.state_dict()
    with pytest.raises(error, match=message):
        trainer.fit(PIXELS, LABELS, 1, 5, print_every=None, augment=Answers(answer))
    for name, value in trainer.model.state_dict().items():
        np.testing.assert_array_equal(value, before[name])


def a_trainer(dtype: Any = np.float32, loss: Loss | None = None) -> Trainer:
    outputs = 3 if loss is None else 1
    layers = [Dense(48, 3, rng=1, dtype=dtype), Dense(3, outputs, rng=2, dtype=dtype)]
    model = Sequential(Rescale(dtype=dtype), Flatten(), *layers)
    return Trainer(model, loss or SoftmaxCrossEntropy(), SGD(model.parameters(), 0.05, momentum=0.9))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("batch_size", [None, 4])
def test_fit_trains_on_mixtures_as_on_rows_given(batch_size: int | None, dtype: Any) -> None:
    mixed, given_rows = a_trainer(dtype), a_trainer(dtype)
    history = mixed.fit(PIXELS, LABELS, 1, batch_size, print_every=None, rng=2, augment=MixUp(0.5, 3, rng=3))
    losses, shares = [], []
    for x, y in Batches(PIXELS, LABELS, batch_size, rng=2, augment=MixUp(0.5, 3, rng=3)):
        output = given_rows.model.predict(x)
        shares.append(given_rows.loss.accuracy(output, y) * len(y))
        losses += [len(y) * loss for loss in given_rows.fit(x, y, 1, print_every=None, dual=False)["loss"]]
    assert history["loss"][0] == pytest.approx(sum(losses) / 10, rel=1e-5)
    assert history["accuracy"][0] == pytest.approx(sum(shares) / 10)
    for name, value in mixed.model.state_dict().items():
        assert value.dtype == dtype
        if batch_size is None:
            np.testing.assert_allclose(value, given_rows.model.state_dict()[name], rtol=1e-4, atol=1e-6)


def test_binary_targets_are_mixed_and_validation_is_not() -> None:
    x, y = PIXELS, LABELS > 0
    model = Sequential(Rescale(), Flatten(), *mlp([48, 3, 1], rng=1))
    trainer = Trainer(model, BinaryCrossEntropy(), SGD(model.parameters(), 0.05))
    history = trainer.fit(x, y, 3, 4, (x, y), print_every=None, rng=0, augment=Compose(Augment(), CutMix(1.0, rng=1)))
    assert history["val_loss"][-1] == pytest.approx(trainer.evaluate(x, y)["loss"], rel=1e-5)
    assert history["loss"][-1] != pytest.approx(history["val_loss"][-1], rel=1e-3)


@pytest.mark.parametrize("weights", [{"sample_weight": np.ones(10)}, {"class_weight": "balanced"}])
def test_weights_beside_mixed_targets_are_refused(weights: dict[str, Any]) -> None:
    augment = Compose(Augment(), MixUp(1.0, 3, rng=0))
    with pytest.raises(ValueError, match="augment: expected no sample_weight and no class_weight beside"):
        a_trainer().fit(PIXELS, LABELS, 1, print_every=None, augment=augment, **weights)


@pytest.mark.parametrize("batch_size", [None, 4])
def test_a_resumed_run_mixes_as_the_whole_run_does(tmp_path: Path, batch_size: int | None) -> None:
    def fit(trainer: Trainer, epochs: int, *callbacks: Callback) -> list[float]:
        augment = Compose(Augment(flip=True, rng=5), MixUp(0.5, 3, rng=6), CutMix(1.0, rng=7))
        history = trainer.fit(
            PIXELS, LABELS, epochs, batch_size, print_every=None, rng=3, augment=augment, callbacks=callbacks
        )
        return history["loss"]

    class SaveAtThree(Checkpoint):
        def on_epoch_end(self, run: Run, epoch: int, metrics: object) -> None:
            if epoch == 2:
                run.save(self.path)

    whole, second = a_trainer(), a_trainer()
    path = tmp_path / "run.ckpt"
    expected = fit(whole, 6, SaveAtThree(path))
    second.resume(path)
    assert fit(second, 6, SaveAtThree(path)) == expected
    for name, value in whole.model.state_dict().items():
        np.testing.assert_array_equal(second.model.state_dict()[name], value)


class NotesThreads:
    """Changes nothing, and notes on which threads it is called."""

    works_ahead = True

    def __init__(self) -> None:
        self.threads: set[threading.Thread] = set()

    def __call__(self, x: Array) -> Array:
        self.threads.add(threading.current_thread())
        return x


def test_mixing_ahead_gives_the_same_bits(tmp_path: Path) -> None:
    from PIL import Image

    paths = [tmp_path / f"{i}.png" for i in range(10)]
    for pixels, path in zip(PIXELS, paths, strict=True):
        Image.fromarray(pixels).save(path)
    trainers = a_trainer(), a_trainer()
    for trainer, x in zip(trainers, (PIXELS, LazyImages(paths, (4, 4))), strict=True):
        noting = NotesThreads()
        augment = Compose(Augment(flip=True, rng=1), CutMix(1.0, 3, rng=2), noting)
        trainer.fit(x, LABELS, 2, 4, print_every=None, rng=0, augment=augment)
        assert (threading.main_thread() in noting.threads) == (x is PIXELS)
    first, second = (trainer.model.state_dict() for trainer in trainers)
    for name, value in first.items():
        np.testing.assert_array_equal(value, second[name])


@pytest.mark.parametrize("mixing", MIXINGS)
def test_a_pickled_one_goes_on_in_the_same_bits(mixing: Any) -> None:
    augment = Compose(Augment(flip=True, rng=0), mixing(1.0, 3, rng=0))
    augment(PIXELS, LABELS)
    copied = pickle.loads(pickle.dumps(augment))
    for one, other in zip(augment(PIXELS, LABELS), copied(PIXELS, LABELS), strict=True):
        np.testing.assert_array_equal(one, other)
