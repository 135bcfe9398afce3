"""Samples from odd sources: HDF5 data sets, lists, ragged rows; and wrong arguments, each named in its error."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import seeds

from minidl import SGD, BinaryCrossEntropy, Trainer, mlp
from minidl._typing import Array
from minidl.data import Augment, Batches, find_duplicates, train_test_split
from minidl.data._rows import take
from minidl.data.subset import Subset

X = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
Y = X[:, 0] > 0


class Increasing:
    """Samples that give a slice, one row, or rows of strictly increasing numbers, as HDF5 data sets do."""

    def __init__(self, array: Array) -> None:
        self.array, self.shape, self.dtype = array, array.shape, array.dtype

    def __len__(self) -> int:
        return len(self.array)

    def __getitem__(self, index: Any) -> Array:
        if np.ndim(index) and not (np.diff(index) > 0).all():
            raise TypeError("Indexing elements must be in increasing order")
        found: Array = self.array[index]
        return found


class Lists(Increasing):
    """Samples that are returned as lists."""

    def __getitem__(self, index: Any) -> Any:
        return super().__getitem__(index).tolist()


def hdf5(array: Array, folder: Path) -> Any:
    h5py = pytest.importorskip("h5py")
    return h5py.File(folder / "samples.h5", "w").create_dataset("x", data=array)


SOURCES: dict[str, Callable[[Array, Path], Any]] = {
    "increasing": lambda array, folder: Increasing(array),
    "lists": lambda array, folder: Lists(array.astype(np.float64)),
    "hdf5": hdf5,
    "subset": lambda array, folder: Subset(Increasing(array[::-1]), np.arange(len(array))[::-1]),
}


@pytest.fixture(params=SOURCES)
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    return SOURCES[request.param](X, tmp_path)


@given(st.integers(1, 30), st.lists(st.integers(0, 29), max_size=40), st.sampled_from([Increasing, np.asarray]))
def test_rows_in_any_order_and_again(n: int, numbers: list[int], kind: Callable[[Array], Any]) -> None:
    array = np.random.default_rng(n).normal(size=(n, 2))
    rows = np.array([number for number in numbers if number < n], int)
    np.testing.assert_array_equal(take(kind(array), rows), array[rows])
    subset = Subset(kind(array), rows)
    np.testing.assert_array_equal(subset[:], array[rows])
    np.testing.assert_array_equal(subset[::-2], array[rows][::-2])
    if len(rows):
        np.testing.assert_array_equal(subset[-1], array[rows][-1])


@given(st.integers(1, 30), st.one_of(st.none(), st.integers(1, 31)), seeds)
def test_batches_are_those_of_the_array(n: int, batch_size: int | None, seed: int) -> None:
    x, y = np.arange(2 * n).reshape(n, 2), np.arange(n)
    expected = Batches(x, y, batch_size, seed)
    for other in (Batches(Increasing(x), y, batch_size, seed), Batches(x.tolist(), list(y), batch_size, seed),
                  Batches(Lists(x), Increasing(y), batch_size, seed)):  # fmt: skip
        for _ in range(2):
            for (x_expected, y_expected), (x_other, y_other) in zip(expected, other, strict=True):
                np.testing.assert_array_equal(x_other, x_expected)
                np.testing.assert_array_equal(y_other, y_expected)
                assert x_other.dtype == x_expected.dtype
        expected.rng = np.random.default_rng(seed)  # for the next of the others


def make_trainer() -> Trainer:
    model = mlp([3, 4, 1], rng=0)
    return Trainer(model, BinaryCrossEntropy(), SGD(model.parameters(), 0.1))


@pytest.mark.parametrize("batch_size", [None, 7])
def test_training_has_the_same_bits(source: Any, batch_size: int | None) -> None:
    histories, weights = [], []
    for x in (X, source):
        trainer = make_trainer()
        trainer.fit(x, Y, 3, batch_size, validation_data=(x, Y), rng=0, print_every=None)
        histories.append([trainer.history["loss"], trainer.history["val_loss"], trainer.evaluate(x, Y, 11)])
        weights.append(trainer.model.predict(x, 13).tobytes())
    assert histories[0] == histories[1]
    assert weights[0] == weights[1]


def test_a_split_trains_with_the_same_bits(source: Any) -> None:
    losses = []
    for x in (X, source):
        x_train, x_test, y_train, y_test = train_test_split(x, Y, 0.3, rng=1)
        np.testing.assert_array_equal(x_test[:], X[[np.flatnonzero((row == X).all(axis=1))[0] for row in x_test[:]]])
        trainer = make_trainer()
        history = trainer.fit(x_train, y_train, 2, 8, (x_test, y_test), rng=0, print_every=None)
        losses.append([history["loss"], history["val_loss"]])
        assert find_duplicates(x_train, x_test) == []
        assert find_duplicates(x_test, x_test) == [(i, i) for i in range(18)]
    assert losses[0] == losses[1]


def test_arrays_in_memory_are_read_without_sorting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(np, "unique", None)
    assert len(list(Batches(X, Y, 7, rng=0))) == 9
    assert len(list(Batches(X.T.copy().T, Y, 7, rng=0))) == 9


# --- Arguments --------------------------------------------------------------------------------------------------------

RAGGED: Any = [[0.0, 1.0], [1.0]] * 4


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: train_test_split(RAGGED, [0, 1] * 4), r"^x: expected a rectangular array, received \[\[0.0, 1.0\]"),
        (lambda: train_test_split([0, 1] * 4, RAGGED), "^y: expected a rectangular array"),
        (lambda: Batches(RAGGED, [0, 1] * 4, 2), "^x: expected a rectangular array"),
        (lambda: Batches([0, 1] * 4, RAGGED, 2), "^y: expected a rectangular array"),
        (lambda: find_duplicates(RAGGED, [[1.0]]), "^x_train: expected a rectangular array"),
        (lambda: find_duplicates([[1.0]], RAGGED), "^x_test: expected a rectangular array"),
        (lambda: Batches(None, None), r"^x and y: expected .*received shapes \(\) and \(\)"),
        (lambda: Batches([], []), r"^x and y: .*received shapes \(0,\) and \(0,\)"),
        (lambda: Batches(X, Y[:-1]), r"^x and y: .*received shapes \(60, 3\) and \(59,\)"),
        (lambda: train_test_split(None, None), r"^x and y: expected one target a sample, received shapes \(\) and"),
        (lambda: find_duplicates([[1.0]], 1.0), "^x_train and x_test: expected samples of one shape and type"),
        (lambda: find_duplicates([object()], [object()]), "^x_train and x_test: expected .*received object"),
        (lambda: Batches(X, Y, 0), "^batch_size: expected a whole number of at least 1, received 0"),
        (lambda: Batches(X, Y, 2.0), "^batch_size: .*received 2.0"),  # type: ignore[arg-type]
        (lambda: Batches(X, Y, True), "^batch_size: .*received True"),
        (lambda: Batches(X, Y, 2, rng=-1), "^rng: expected a seed .*received -1"),
        (lambda: train_test_split(X, Y, "half"), "^test_size: .*received 'half'"),  # type: ignore[arg-type]
        (lambda: train_test_split(X, Y, None), "^test_size: .*received None"),  # type: ignore[arg-type]
        (lambda: train_test_split(X, Y, [1, 2]), r"^test_size: .*received \[1, 2\]"),  # type: ignore[arg-type]
        (lambda: train_test_split(X, Y, stratify=Y), "^stratify: expected True or False, received array"),  # type: ignore[arg-type]
        (lambda: train_test_split(X, Y, stratify=None), "^stratify: .*received None"),  # type: ignore[arg-type]
        (lambda: train_test_split(X, X), r"^stratify: expected one class a sample.*received shape \(60, 3\)"),
        (lambda: train_test_split(X, Y, rng="1"), "^rng: .*received '1'"),  # type: ignore[arg-type]
        (lambda: Augment(flip="no"), "^Augment flip: expected True or False, received 'no'"),  # type: ignore[arg-type]
        (lambda: Augment(flip=0.5), "^Augment flip: .*received 0.5"),  # type: ignore[arg-type]
        (lambda: Augment(shift=None), "^Augment shift: .*received None"),  # type: ignore[arg-type]
        (lambda: Augment(rotation="10"), "^Augment rotation: .*received '10'"),  # type: ignore[arg-type]
        (lambda: Augment(crop=10**400), "^Augment crop: .*received"),
        (lambda: Augment(rotation=10**400), "^Augment rotation: .*received"),
        (lambda: Augment(rng=1.5), "^rng: .*received 1.5"),  # type: ignore[arg-type]
        (lambda: Augment()(None), "^Augment: expected an array of pictures, received None"),  # type: ignore[arg-type]
        (lambda: Augment()([[1]]), r"^Augment: expected an array of pictures, received \[\[1\]\]"),  # type: ignore[arg-type]
        (lambda: Augment(shift=0.5)(np.zeros((2, 0, 3, 3), np.uint8)), r"^Augment: expected uint8 .*\(2, 0, 3, 3\)"),
    ],
)
def test_a_wrong_argument_is_named(call: Callable[[], object], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        call()


def test_no_pictures_are_augmented_to_none() -> None:
    empty = np.zeros((0, 4, 4, 3), np.uint8)
    assert Augment(flip=True, shift=0.2, rotation=5, contrast=0.1, rng=0)(empty).shape == empty.shape


BAD_AUGMENTS: list[tuple[Any, str]] = [
    (7, r"^augment: expected a function of a batch's samples or None, received 7$"),
    ("flip", "^augment: .*received 'flip'$"),
    (False, "^augment: .*received False$"),
    ([len], "^augment: expected a function"),
    (lambda x: None, "^augment: expected it to return an array, received NoneType$"),
    (lambda x: x.tolist(), "^augment: expected it to return an array, received list$"),
    (len, "^augment: expected it to return an array, received int$"),
    (Subset, "^augment: expected it to return an array|missing 1 required"),
    (lambda x: x[:5], r"^augment: expected it to return \d+ samples, received shape \(5, 3\)$"),
    (lambda x: np.concatenate([x, x]), r"^augment: expected it to return \d+ samples, received shape"),
    (lambda x: x.sum(), "^augment: expected it to return an array, received float32$"),
    (lambda x: np.array(1.0), r"^augment: expected it to return \d+ samples, received shape \(\)$"),
]


@pytest.mark.parametrize("batch_size", [None, 10])
@pytest.mark.parametrize(("augment", "message"), BAD_AUGMENTS)
def test_a_wrong_augment_is_named(augment: Any, message: str, batch_size: int | None) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        list(Batches(X, Y, batch_size, augment=augment))
    trainer = make_trainer()
    before = trainer.model.state_dict()
    with pytest.raises((ValueError, TypeError), match=message):
        trainer.fit(X, Y, 2, batch_size, augment=augment, print_every=None)
    for name, array in trainer.model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_an_augment_may_change_shape_and_type() -> None:
    batches = Batches(X, Y, 7, rng=0, augment=lambda x: x[:, :2].astype(np.float64))
    assert {(x.shape[1], x.dtype.name) for x, _ in batches} == {(2, "float64")}


@pytest.mark.parametrize(
    "y",
    [Y[:, None], Y.astype(int).tolist(), np.where(Y, "cat", "dog"), np.where(Y, "cat", "dog").astype(object),
     np.where(Y, np.nan, 1.0)],
    ids=["column", "list", "text", "objects", "nan"],
)  # fmt: skip
def test_targets_of_every_kind_are_split_in_proportion(y: Any) -> None:
    x_train, x_test, y_train, y_test = train_test_split(np.arange(60), y, 20, rng=0)
    assert sorted([*x_train, *x_test]) == list(range(60))
    assert len(y_train) == 40
    assert len(y_test) == 20
    assert abs(Y[x_test].sum() - Y.sum() / 3) < 1


def test_samples_that_are_no_numbers_can_be_split() -> None:
    names: Any = [Path(f"{i}.jpg") for i in range(60)]
    train, test, _, _ = train_test_split(names, Y, rng=0)
    assert sorted([*train, *test]) == sorted(names)
