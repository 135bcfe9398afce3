"""Model files that are damaged, or made by somebody who means harm."""

from __future__ import annotations

import io
import json
import tempfile
from functools import partial
from pathlib import Path
from random import Random

import numpy as np

import minidl
from benchmarks.attacks import archive_changes, damage
from benchmarks.attacks.limits import Attempt, attempt, measured_attempt, memory_limit
from benchmarks.attacks.outcome import Outcome, told
from minidl import (
    AveragePool2D,
    BatchNorm,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    LayerNorm,
    LeakyReLU,
    MaxPool2D,
    Module,
    ReLU,
    Rescale,
    Sequential,
    Softmax,
)

SECONDS = 5.0
MEMORY = 64 * 2**20  # bytes that any file may take, however small; beside them so many times its own size:
TIMES = 40  # the Python objects of a JSON text take some twenty times its size, and the text and the error come to it

State = dict[str, np.ndarray]


def run(count: int, seed: int) -> Outcome:
    """Load model files that are damaged byte by byte, and ones whose contents are changed under right checksums.

    Lost: a damaged file that loads as another model; a changed one that loads with arrays other than the file's own,
    or ones that are not finite; a loaded model whose `predict` ends in anything but an answer or a ValueError; any
    exception of `load` and `load_metadata` but ModelFileError and OSError; 5 s or 64 MB and 40 times the file.
    """
    outcome, rng = Outcome("model_files"), Random(seed)
    with tempfile.TemporaryDirectory() as folder, memory_limit(2_000):
        originals = [_saved(model, Path(folder, "original.npz")) for model in _models()]
        path = Path(folder, "damaged.npz")
        for i in range(count):
            model, data = originals[i % len(originals)]
            what, changed = (damage.damaged if i % 2 else _changed)(data, rng)
            path.write_bytes(changed)
            found = measured_attempt(partial(_loaded, path), SECONDS)
            kind, problems = _judged(found, len(changed))
            if found.error is None:
                right = model.state_dict() if i % 2 else _arrays_of(changed, model.state_dict())
                problems += differences(found.result.state_dict(), right)
                problems += _trouble_in_predict(found.result)
                if i % 2 and repr(found.result) != repr(model):
                    problems.append(f"another model, {found.result!r:.200}")
            outcome.settle(kind, problems, f"attempt {i}, {what}")
    return outcome


def _models() -> list[Module]:
    pictures = Sequential(
        Rescale(), Conv2D(3, 2, 3, rng=0), BatchNorm(2), ReLU(), MaxPool2D(2), AveragePool2D(2), Flatten(),
        LayerNorm(2), Dropout(0.2, rng=1), Dense(2, 3, rng=2), Softmax(),
    )  # fmt: skip
    nested = Sequential(Sequential(Dense(4, 3, rng=3), LeakyReLU(0.2)), Sequential(Sequential(Dense(3, 1, rng=4))))
    return [minidl.mlp([2, 4, 1], rng=5), pictures, nested]


def _saved(model: Module, path: Path) -> tuple[Module, bytes]:
    minidl.save(model, path, class_names=["cat", "other"], image_size=(8, 8))
    return model, path.read_bytes()


def _changed(data: bytes, rng: Random) -> tuple[str, bytes]:
    """Change the contents of a model file; in one file of twenty put layers in that no array backs.

    Each of them is small enough to be let through alone, and there are many.
    """
    if rng.random() > 1 / 20:
        return archive_changes.changed(data, rng)
    size, times = rng.choice((2**10, 2**20 - 1, 2**20, 2**20 + 1)), rng.choice((1, 30, 3_000))
    name, arguments = rng.choice(
        (
            ("BatchNorm", {"features": size}),
            ("LayerNorm", {"features": size, "dtype": "float64"}),
            ("Dense", {"in_features": 1, "out_features": size}),
            ("Conv2D", {"in_channels": 1, "out_channels": size, "kernel_size": 1}),
            ("MaxPool2D", {"pool_size": size}),
        )
    )
    (header, text), *arrays = archive_changes.unpacked(data)
    tree = json.loads(text)
    tree["architecture"]["arguments"]["layers"][:0] = [{"class": name, "arguments": arguments}] * times
    return f"{times} layers {name}({size})", archive_changes.packed([(header, json.dumps(tree).encode()), *arrays])


def _loaded(path: Path) -> Module:
    minidl.load_metadata(path)
    model: Module = minidl.load(path)
    return model


def _judged(found: Attempt, size: int) -> tuple[str, list[str]]:
    """Return the kind of answer, and what is wrong with it."""
    problems = []
    if found.memory > MEMORY + TIMES * size:
        problems.append(f"{found.memory / 1e6:.0f} MB for a file of {size:,} bytes")
    if found.error is None:
        return "loaded", problems
    if not isinstance(found.error, (minidl.ModelFileError, OSError)):
        problems.append(told(found.error))
    return type(found.error).__name__, problems


def _arrays_of(data: bytes, otherwise: State) -> State:
    """Return what another reader finds in the archive."""
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files if name != archive_changes.HEADER}
    except Exception:  # a file that NumPy cannot read, and minidl can, must hold what it held before
        return otherwise


def differences(found: State, right: State) -> list[str]:
    """Return how arrays differ from the right ones, and where they are not finite."""
    problems = []
    if found.keys() != right.keys():
        problems.append(f"expected arrays {list(right)}, received {list(found)}")
    for name in found.keys() & right.keys():
        if found[name].dtype != right[name].dtype or found[name].shape != right[name].shape:
            problems.append(f"{name}: expected {right[name].dtype} {right[name].shape}, received {found[name].shape}")
        elif found[name].tobytes() != right[name].tobytes():
            problems.append(f"{name}: other numbers")
    return problems + [f"{name}: not finite" for name, array in found.items() if not np.isfinite(array).all()]


def _trouble_in_predict(model: Module) -> list[str]:
    """Return what goes wrong in the use of a model that was loaded without complaint."""
    problems = []
    for shape, dtype in (((2, 2), np.float32), ((2, 8, 8, 3), np.uint8), ((2, 4), np.float32)):
        with np.errstate(all="ignore"):
            error = attempt(partial(model.predict, np.ones(shape, dtype)), SECONDS).error
        if error is not None and not isinstance(error, ValueError):
            problems.append(f"predict of {shape}: {told(error)}")
    return problems[:1]
