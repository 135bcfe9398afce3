"""save and load: one file that carries a network's layers, their arrays, and whatever the user writes beside them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from minidl._files import FilePath
from minidl.architecture import BUILT_IN, build, describe, leaves, state_of
from minidl.archive import ModelFileError, as_json, read_archive, read_header, write_archive
from minidl.module import Module
from minidl.sequential import Sequential


def save(model: Sequential, path: FilePath, /, **metadata: Any) -> None:
    """Write a network into one file: its layers with their arguments, parameters and buffers, and `metadata`.

    The file takes the place of `path` only when it is complete and flushed to the disk. Before that, the network is
    built again from what is about to be written, so that a file that cannot be loaded is never written.

    Arguments: `metadata` is anything that JSON can hold, such as `class_names=["cat", "other"]` and
    `image_size=(128, 128)`; `load_metadata` returns it, tuples as lists. A layer of the user's own is saved by its
    class's name and its `config()`, the arguments that build it anew.

    Raises: TypeError for a model that is not a Sequential; ValueError naming the layer for one that its `config()`
    does not build again, that shares an array with another, or whose class is named like a built-in one; ValueError
    for metadata that is not JSON.

    >>> import tempfile
    >>> from minidl import mlp
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(mlp([2, 3, 1]), f"{folder}/xor.npz", class_names=["same", "different"])
    ...     load(f"{folder}/xor.npz"), load_metadata(f"{folder}/xor.npz")
    (Sequential(Dense(2 -> 3), ReLU(), Dense(3 -> 1), Sigmoid()), {'class_names': ['same', 'different']})
    """
    if not isinstance(model, Sequential):
        raise TypeError(f"save: expected a Sequential, received {model!r}")
    metadata = as_json(metadata, "metadata")
    architecture, arrays = describe(model), state_of(model)
    rebuilt = build(architecture, arrays, _classes_of(model))
    for (place, layer), (_, again) in zip(leaves(model), leaves(rebuilt), strict=True):
        expected, received = describe(layer, place), describe(again, place)
        if expected != received:
            raise ValueError(f"layer {place}, {layer!r}: its config() builds another, {received} instead of {expected}")
    write_archive(path, "model", {"architecture": architecture, "metadata": metadata}, arrays)


def load(path: FilePath, custom_layers: Mapping[str, type[Module]] | None = None) -> Sequential:
    """Return the network of a file that `save` wrote, with the same bits, in evaluation mode.

    A loaded network is ready for use; `Trainer` goes on training it as it is, a loop of one's own calls
    `model.train()` first. The file is data: it names layers, and nothing in it is ever executed.

    Arguments: `custom_layers` gives the classes of the user's own layers by the names they have in the file. A class
    that takes a `weight_init` is handed the stored weights through it, so that no size which the file does not back
    is ever allocated; other sizes that a class takes from a file of unknown origin it should check itself.

    Raises: ModelFileError naming the file, the layer and what is wrong: a damaged file, an unknown layer, arguments
    that no layer takes, arrays that are missing, too many, or of another shape or dtype. OSError where the file
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
        model = build(header.get("architecture"), arrays, {**BUILT_IN, **classes})
    except (ModelFileError, RecursionError) as error:
        raise ModelFileError(f"{path}: {error}") from error
    if not isinstance(model, Sequential):
        raise ModelFileError(f"{path}: expected a Sequential, received {model!r}")
    model.eval()
    return model


def load_metadata(path: FilePath) -> dict[str, Any]:
    """Return what was given to `save` as keyword arguments, without loading the network.

    Raises: as `load` does.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(Sequential(), f"{folder}/empty.npz", image_size=(128, 128))
    ...     load_metadata(f"{folder}/empty.npz")
    {'image_size': [128, 128]}
    """
    metadata = read_header(path, "model").get("metadata")
    if not isinstance(metadata, dict):
        raise ModelFileError(f"{path}: expected metadata by name, received {metadata!r:.100}")
    return metadata


def _classes_of(model: Sequential) -> dict[str, type[Module]]:
    """Return the built-in classes and those of the model's other layers by name."""
    classes = dict(BUILT_IN)
    for place, layer in leaves(model):
        name = type(layer).__name__
        if classes.setdefault(name, type(layer)) is not type(layer):
            raise ValueError(f"layer {place}, {layer!r}: another class has its name, {name}; rename it to save it")
    return classes
