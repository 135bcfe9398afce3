"""save and load: one file that carries a network's layers, their arrays, and whatever the user writes beside them."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import zip_longest
from typing import Any

from minidl._files import FilePath
from minidl._typing import Array
from minidl._validation import is_finite, shown
from minidl.architecture import BUILT_IN, describe, described_modules, title_of
from minidl.archive import as_json, read_archive, read_header, write_archive
from minidl.building import build
from minidl.errors import ModelFileError
from minidl.module import Module


def save(model: Module, path: FilePath, /, **metadata: Any) -> None:
    """Write a network into one file: its modules with their arguments, parameters and buffers, and `metadata`.

    The file takes the place of `path` only when it is complete and flushed to the disk. Before that, the network is
    built again from what is about to be written, so that a file that cannot be loaded is never written.

    Arguments: `metadata` is anything that JSON can hold, such as `class_names=["cat", "other"]` and
    `image_size=(128, 128)`; `load_metadata` returns it, tuples as lists. A module of the user's own is saved by its
    class's name and the arguments of its constructor, which are read from the attributes of the same names; where a
    class keeps them otherwise, it returns them from a method `config()`.

    Raises: TypeError for a model that is not a Module; ValueError naming the module for one whose arguments do not
    build it again, that shares an array with another, or whose class is named like a built-in one; ValueError for
    metadata that is not JSON.

    >>> import tempfile
    >>> from minidl import mlp
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(mlp([2, 3, 1]), f"{folder}/xor.npz", class_names=["same", "different"])
    ...     load(f"{folder}/xor.npz"), load_metadata(f"{folder}/xor.npz")
    (Sequential(Dense(2 -> 3), ReLU(), Dense(3 -> 1), Sigmoid()), {'class_names': ['same', 'different']})
    """
    if not isinstance(model, Module):
        raise TypeError(f"save: expected a Module, received {model!r}")
    metadata = as_json(metadata, "metadata")
    architecture = describe(model)
    arrays = {name: buffer.data for name, buffer in model.named_state()}
    _check_that_it_builds(model, architecture, arrays)
    write_archive(path, "model", {"architecture": architecture, "metadata": metadata}, arrays)


def _check_that_it_builds(model: Module, architecture: dict[str, Any], arrays: Mapping[str, Array]) -> None:
    """Raise a ValueError that names what would not be loaded as it is."""
    rebuilt = _loaded(architecture, arrays, _classes_of(model))
    nothing: tuple[str, Module, dict[str, Any]] = ("", Module(), {})
    pairs = zip_longest(described_modules(model), described_modules(rebuilt), fillvalue=nothing)
    for (path, module, expected), (_, again, received) in pairs:
        if type(module) is not type(again) or expected != received:
            what = f"{received} instead of {expected}" if type(module) is type(again) else f"{again!r}"
            raise ValueError(f"{title_of(path, module)}: its arguments build another, {what}")


def load(path: FilePath, custom_layers: Mapping[str, type[Module]] | None = None) -> Any:
    """Return the network of a file that `save` wrote, with the same bits, in evaluation mode.

    A loaded network is ready for use; `Trainer` goes on training it as it is, a loop of one's own calls
    `model.train()` first. The file is data: it names classes, and nothing in it is ever executed.

    Arguments: `custom_layers` gives the classes of the user's own modules by the names they have in the file. A class
    that takes a `weight_init` is handed the stored weights through it, so that no size which the file does not back
    is ever allocated; other sizes that a class takes from a file of unknown origin it should check itself.

    Raises: ModelFileError naming the file, the module and what is wrong: a damaged file, an unknown class, arguments
    that no class takes, arrays that are missing, too many, or of another shape or dtype. OSError where the file
    cannot be opened. ValueError and TypeError for custom layers that are named like built-in ones or are no Modules.

    The example stands at `save`:

    >>> load("no such file.npz")
    Traceback (most recent call last):
    FileNotFoundError: [Errno 2] No such file or directory: 'no such file.npz'
    """
    classes = dict(custom_layers or {})
    for name, cls in classes.items():
        if name in BUILT_IN:
            raise ValueError(f"custom_layers: {name} is a built-in layer, expected another name")
        if not (isinstance(cls, type) and issubclass(cls, Module)):
            raise TypeError(f"custom_layers[{name!r}]: expected a class derived from Module, received {cls!r}")
    header, arrays = read_archive(path, "model")
    try:
        return _loaded(header.get("architecture"), arrays, {**BUILT_IN, **classes}).eval()
    except (ModelFileError, RecursionError) as error:
        raise ModelFileError(f"{path}: {error}") from error


def _loaded(architecture: Any, arrays: Mapping[str, Array], classes: Mapping[str, type[Module]]) -> Module:
    """Return the module that is described, with these very arrays."""
    model = build(architecture, arrays, classes)
    buffers = dict(model.named_state())
    for name, array in arrays.items():
        if name in buffers and array.dtype != buffers[name].data.dtype:
            raise ModelFileError(f"{name}: expected {buffers[name].data.dtype}, received {array.dtype}")
        if not is_finite(array):
            raise ModelFileError(f"{name}: expected finite numbers, received NaN or infinity")
    try:
        model.load_state_dict(arrays)
    except ValueError as error:
        raise ModelFileError(str(error)) from error
    return model


def load_metadata(path: FilePath) -> dict[str, Any]:
    """Return what was given to `save` as keyword arguments, without loading the network.

    Raises: as `load` does.

    >>> import tempfile
    >>> from minidl import ReLU
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(ReLU(), f"{folder}/empty.npz", image_size=(128, 128))
    ...     load_metadata(f"{folder}/empty.npz")
    {'image_size': [128, 128]}
    """
    metadata = read_header(path, "model").get("metadata")
    if not isinstance(metadata, dict):
        raise ModelFileError(f"{path}: expected metadata by name, received {shown(metadata)}")
    return metadata


def _classes_of(model: Module) -> dict[str, type[Module]]:
    """Return the built-in classes and those of the model's other modules by name."""
    classes = dict(BUILT_IN)
    for path, module in model.named_modules():
        name = type(module).__name__
        if classes.setdefault(name, type(module)) is not type(module):
            title = title_of(path, module)
            raise ValueError(f"{title}: another class has its name, {name}; rename it to save it")
    return classes
