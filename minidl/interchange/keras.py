"""The weights of a network in Keras' files `.weights.h5`, in and out."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from minidl._files import FilePath, atomic_write, check_regular
from minidl._state import fitted
from minidl._typing import Array
from minidl._validation import is_finite, shown
from minidl.errors import ModelFileError
from minidl.interchange._keras_layout import SMALLEST_SCALE, Part, parts_of
from minidl.layers import Normalize
from minidl.module import Module

SUFFIX = ".weights.h5"
ENDINGS_OF_COUNTS = ("seed_generator/vars/0", "seed_generator/vars/1")  # random states of Dropout and others


def load_keras_weights(model: Module, path: FilePath, *, names: Mapping[str, str] | None = None) -> None:
    """Copy the weights that a network of Keras 3 has saved into one of the same layers, or change nothing at all.

    Formula: kernels are (height, width, in, out) in Keras, weights of Dense and of gates (in, out); GRU's gates are z,
    r, n; LSTM has one bias, which becomes `bias_ih`. Both have their channels last, so that a Flatten makes no
    difference.

    Arguments: `path` is that of a file that `save_weights` wrote. In it layers are named after their classes and
    counted; the names of layers in a nested Sequential begin with its own name. `names` says which layer of minidl is
    which in the file: `{"layers/conv2d_1": "2.0"}`. Layers in a `Residual`, a `Parallel` or a module of your own need
    it; the others are counted past these names. A nested Sequential is named as a whole: `{"layers/functional": "0"}`.
    No such file holds what the layers compute, such as their activation or `epsilon` (1e-3 in Keras' norms, but 1e-6
    in its RMSNormalization). A GRU of Keras needs `reset_after=True`, its default.

    Raises: ValueError that lists every missing, unexpected and mis-shaped array at once, and for another suffix or a
    layer that Keras does not have; ModelFileError for a damaged file; ImportError where h5py is not installed; OSError
    where the file cannot be opened.

    Source: https://keras.io/api/models/model_saving_apis/weights_saving_and_loading

    >>> from minidl import mlp
    >>> load_keras_weights(mlp([2, 1], rng=0), "model.h5")
    Traceback (most recent call last):
    ValueError: path: expected a file .weights.h5, received 'model.h5'
    """
    parts = {part.path: part for part in parts_of(model, names)}
    expected = {name: _values(part) for name, part in parts.items()}
    taken, problems = fitted(_read(path, expected), expected)
    if problems:
        raise ValueError("the weights do not fit the model; nothing was loaded:\n  " + "\n  ".join(problems))
    for name, part in parts.items():
        part.take(taken[name])


def save_keras_weights(model: Module, path: FilePath, *, names: Mapping[str, str] | None = None) -> None:
    """Write a network's weights to a file `.weights.h5` that `load_weights` of a network of Keras 3 takes.

    Arguments: those of `load_keras_weights`. The slopes of a `PReLU` are written as (features,), which Keras takes
    where a sample is a row; for pictures and sequences it expects more axes and refuses the file.

    Raises: ValueError and ImportError as `load_keras_weights` does, and for numbers that are not finite, or scales of a
    `Normalize` below 1e-7, as Keras divides by no less; OSError where the file cannot be written.

    Source: https://keras.io/api/models/model_saving_apis/weights_saving_and_loading

    >>> from minidl import mlp
    >>> save_keras_weights(mlp([2, 1], rng=0), "model.h5")
    Traceback (most recent call last):
    ValueError: path: expected a file .weights.h5, received 'model.h5'
    """
    h5py = _h5py(path)
    arrays = {part.path: _values(part) for part in parts_of(model, names)}
    for name, array in arrays.items():
        if not is_finite(array):
            raise ValueError(f"{name}: expected finite numbers that {array.dtype} holds, received NaN or infinity")
    for name, module in model.named_modules():
        if isinstance(module, Normalize) and module.scale.data.min() < SMALLEST_SCALE:
            raise ValueError(
                f"layer {name}, {module!r}: expected scales of at least {SMALLEST_SCALE:g}, as Keras divides by no "
                f"less, received {module.scale.data.min():g}"
            )
    file = io.BytesIO()
    with h5py.File(file, "w") as archive:
        for name, array in arrays.items():
            archive[name] = array
    with atomic_write(path) as out:
        out.write(file.getvalue())


def _values(part: Part) -> Array:
    with np.errstate(all="ignore"):  # squares and sums that are too large are refused where they are written
        return part.values()


def _h5py(path: FilePath) -> Any:
    if not Path(path).name.endswith(SUFFIX):
        raise ValueError(f"path: expected a file {SUFFIX}, received {shown(str(path))}")
    try:
        import h5py
    except ImportError:
        raise ImportError(f"{path}: files {SUFFIX} need h5py: pip install 'minidl[keras]'") from None
    return h5py


def _read(path: FilePath, expected: Mapping[str, Array]) -> dict[str, Array]:
    """Return the arrays of a file by path; of one whose shape is not the expected one nothing is read but the shape."""
    h5py = _h5py(path)
    check_regular(path)
    Path(path).open("rb").close()  # which says what is wrong where it cannot be opened
    arrays: dict[str, Array] = {}

    def read(name: str, item: Any) -> None:
        is_other = "optimizer/" in name or name.endswith(ENDINGS_OF_COUNTS)
        if not isinstance(item, h5py.Dataset) or (is_other and name not in expected):
            return
        if item.is_virtual or item.external:
            raise ModelFileError(f"{path}: {name} stands in another file")
        shape = (0,) if item.shape is None else item.shape
        if len(shape) > 1 and item.size == shape[-1] and expected.get(name, item).ndim == 1:
            shape = shape[-1:]  # the slopes of a PReLU, one a channel, have the rank of a sample
        is_expected = name in expected and shape == expected[name].shape
        array = np.asarray(item[()] if is_expected else np.zeros((), item.dtype))
        if item.attrs.get("dtype") == "bfloat16":  # the upper half of a float32
            array = np.left_shift(array.view(np.uint16), 16, dtype=np.uint32).view(np.float32)
        arrays[name] = array.reshape(shape) if is_expected else np.broadcast_to(array, shape)

    try:
        with h5py.File(path, "r") as archive:
            archive.visititems(read)
    except ModelFileError:
        raise
    except (OSError, RuntimeError, KeyError, TypeError, ValueError) as error:  # h5py raises them for damaged bytes
        raise ModelFileError(f"{path}: damaged, or no file of Keras' weights: {error}") from error
    return arrays
