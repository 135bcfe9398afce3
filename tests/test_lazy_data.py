"""Data outside memory: pictures decoded on demand, memory maps, and their batches and splits."""

from __future__ import annotations

import pickle
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from strategies import seeds

from minidl._samples import as_samples
from minidl._typing import Array
from minidl.data import (
    Batches,
    ImageFileError,
    LazyImages,
    load_image_folders,
    open_image_folders,
    train_test_split,
)
from minidl.data.subset import Subset

COUNT = 10


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    rng = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("pictures")
    for i in range(COUNT):
        path = folder / ("cats", "others")[i % 2] / f"{i}.jpg"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (9, 12, 3), dtype=np.uint8)).save(path)
    return {"cat": folder / "cats", "not cat": folder / "others"}


@pytest.fixture(scope="module")
def pair(folders: dict[str, Path]) -> tuple[LazyImages, Array]:
    """The same pictures on demand and in memory."""
    lazy = open_image_folders(folders, size=(6, 5), positive="cat")
    whole = load_image_folders(folders, size=(6, 5), positive="cat")
    np.testing.assert_array_equal(lazy.labels, whole.labels)
    assert (lazy.paths, lazy.class_names, lazy.skipped) == (whole.paths, whole.class_names, whole.skipped)
    return lazy.images, whole.images


INDICES: list[Any] = [
    0, -1, np.int64(3), slice(None), slice(2, 5), slice(None, None, -3), slice(5, 5), [4, 1, 1], np.array([9, -10]),
    np.arange(COUNT) % 3 == 0, np.array([], int), [[0, 1], [2, 3]][0],
]  # fmt: skip


@pytest.mark.parametrize("index", INDICES, ids=repr)
def test_lazy_images_index_like_an_array(index: Any, pair: tuple[LazyImages, Array]) -> None:
    lazy, whole = pair
    result = lazy[index]
    np.testing.assert_array_equal(result, whole[index])
    assert type(result) is np.ndarray
    assert (result.dtype, result.shape) == (whole.dtype, whole[index].shape)


def test_lazy_images_describe_themselves(pair: tuple[LazyImages, Array]) -> None:
    lazy, whole = pair
    assert (len(lazy), lazy.shape, lazy.ndim, lazy.dtype) == (len(whole), whole.shape, whole.ndim, whole.dtype)
    np.testing.assert_array_equal(np.asarray(lazy), whole)
    assert np.asarray(lazy, dtype=np.float32).dtype == np.float32
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(lazy))[3], whole[3])
    assert repr(lazy) == "LazyImages(10 pictures, size=(6, 5))"
    with pytest.raises(IndexError):
        lazy[COUNT]
    with pytest.raises(IndexError):
        lazy[[0.5]]
    with pytest.raises(ValueError, match="without a copy"):
        lazy.__array__(copy=False)
    with pytest.raises(ValueError, match=r"size\[1\]: expected a whole number of at least 1, received 0"):
        LazyImages([], (3, 0))


@given(st.lists(st.sampled_from(INDICES), min_size=1, max_size=6), st.integers(0, COUNT + 1), st.booleans())
def test_cached_pictures_are_those_of_the_files(
    folders: dict[str, Path], pair: tuple[LazyImages, Array], indices: list[Any], room: int, pickled: bool
) -> None:
    picture_bytes = pair[1][0].nbytes
    lazy = open_image_folders(folders, size=(6, 5), positive="cat", cache_bytes=room * picture_bytes + 1).images
    for index in indices:
        result = lazy[index]
        np.testing.assert_array_equal(result, pair[1][index])
        result[...] = 0  # which is the caller's own, and no part of the cache
        lazy = pickle.loads(pickle.dumps(lazy)) if pickled else lazy
    assert lazy.cache_bytes == room * picture_bytes + 1


@pytest.mark.parametrize("room", [0, 4, COUNT])
def test_so_many_pictures_are_decoded_once(tmp_path: Path, room: int) -> None:
    paths = [tmp_path / f"{i}.png" for i in range(COUNT)]
    for i, path in enumerate(paths):
        Image.new("L", (3, 2), i).save(path)
    lazy = LazyImages(paths, (2, 3), cache_bytes=room * 18)
    first = lazy[::-1]
    for path in paths[:room]:
        path.unlink()
    np.testing.assert_array_equal(lazy[:], first[::-1])
    assert len(pickle.dumps(lazy)) < 3000
    if room:
        with pytest.raises(ImageFileError):  # the cache is not pickled
            pickle.loads(pickle.dumps(lazy))[0]


@pytest.mark.parametrize("cache_bytes", [-1, 1.5, "1 GB", None])
def test_a_wrong_size_of_the_cache(cache_bytes: Any) -> None:
    with pytest.raises(ValueError, match="cache_bytes: expected a whole number of at least 0, received"):
        LazyImages(["a.png"], 4, cache_bytes=cache_bytes)


def test_files_that_are_no_pictures_are_known_at_once_and_broken_ones_later(tmp_path: Path) -> None:
    folders = {name: tmp_path / name for name in ("a", "b")}
    for folder in folders.values():
        folder.mkdir()
        Image.new("RGB", (50, 50)).save(folder / "good.png")
    (folders["a"] / "text.png").write_bytes(b"this is no picture")
    whole = (folders["b"] / "good.png").read_bytes()
    (folders["b"] / "half.png").write_bytes(whole[: len(whole) // 2])
    dataset = open_image_folders(folders, size=(4, 4))
    assert [path.name for path, _ in dataset.skipped] == ["text.png"]
    assert [path.name for path in dataset.paths] == ["good.png", "good.png", "half.png"]
    assert dataset.images[:2].shape == (2, 4, 4, 3)
    with pytest.raises(ImageFileError, match=r"half\.png: broken picture"):
        list(Batches(dataset.images, dataset.labels, batch_size=2, rng=0))
    with pytest.raises(ImageFileError, match=r"text\.png: not a picture"):
        open_image_folders(folders, on_error="raise")


@given(st.integers(1, 12), seeds)
def test_batches_and_splits_are_those_of_the_array(pair: tuple[LazyImages, Array], batch_size: int, seed: int) -> None:
    y = np.arange(COUNT) % 2
    of_lazy, of_whole = (train_test_split(x, y, 0.4, rng=seed) for x in pair)
    for part in (0, 1):
        assert isinstance(of_lazy[part], Subset)
        assert of_lazy[part].shape == of_whole[part].shape
        assert of_lazy[part].ndim == 4
        np.testing.assert_array_equal(of_lazy[part][:], of_whole[part])
        np.testing.assert_array_equal(of_lazy[part + 2], of_whole[part + 2])
    epochs = (
        Batches(x, labels, batch_size, seed) for x, labels in ((of_lazy[0], of_lazy[2]), (of_whole[0], of_whole[2]))
    )
    for (x, labels), (expected, expected_labels) in zip(*epochs, strict=True):
        np.testing.assert_array_equal(x, expected)
        np.testing.assert_array_equal(labels, expected_labels)


def test_without_a_batch_size_the_whole_is_read(pair: tuple[LazyImages, Array]) -> None:
    lazy, whole = pair
    ((x, _),) = Batches(lazy, np.zeros(COUNT))
    np.testing.assert_array_equal(x, whole)


class NoWholeRead:
    """Rows like those of an HDF5 data set, which must never be read all at once."""

    def __init__(self, rows: Array) -> None:
        self.rows, self.shape, self.dtype = rows, rows.shape, rows.dtype
        self.largest = 0

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Any) -> Array:
        result: Array = self.rows[index]
        self.largest = max(self.largest, len(result))
        return result

    def __array__(self, dtype: Any = None, copy: Any = None) -> Array:
        raise AssertionError("read as a whole")


def test_rows_of_any_kind_are_read_a_batch_at_a_time() -> None:
    x = NoWholeRead(np.arange(60).reshape(20, 3))
    x_train, x_test, y_train, _ = train_test_split(x, np.arange(20), 0.25, stratify=False, rng=3)
    assert x.largest == 0
    for rows, labels in Batches(x_train, y_train, 4, rng=0):
        np.testing.assert_array_equal(rows[:, 0], 3 * labels)
    assert x.largest == 4
    assert len(x_test) == 5
    assert as_samples(x) is x
    assert repr(x_test) == "Subset(5 of 20 samples, shape (5, 3), int64)"


def test_memory_is_of_the_order_of_a_batch(tmp_path: Path) -> None:
    x = np.memmap(tmp_path / "x", np.uint8, "w+", shape=(2000, 5000))
    y = np.arange(2000) % 2
    tracemalloc.start()
    x_train, x_test, y_train, _ = train_test_split(x, y)
    for rows, _ in Batches(x_train, y_train, 20, rng=0):
        assert type(rows) is np.ndarray
    for start in range(0, len(x_test), 20):
        x_test[start : start + 20]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000  # of 10,000,000


def test_what_is_in_memory_stays_arrays() -> None:
    for x in ([[0], [1]] * 5, np.zeros((10, 2)), np.arange(10)):
        assert all(isinstance(part, np.ndarray) for part in train_test_split(x, np.arange(10) % 2))
    with pytest.raises(ValueError, match=r"received shapes \(10, 6, 5, 3\) and \(9,\)"):
        train_test_split(LazyImages(["x"] * 10, (6, 5)), np.zeros(9))
