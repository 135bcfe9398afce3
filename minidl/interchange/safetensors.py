"""Files of arrays by name that other frameworks write: safetensors, and PyTorch's own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from minidl._files import FilePath, atomic_write, check_regular
from minidl._typing import Array
from minidl._validation import shown
from minidl.errors import ModelFileError

TORCH_SUFFIXES = (".pt", ".pth", ".bin")
SAFE_LOADING = (2, 6)  # the first PyTorch whose loading of tensors alone cannot be made to run a file's code


def read_state(path: FilePath) -> dict[str, Any]:
    """Return the tensors of a file in PyTorch's layout by name, without running anything that the file holds.

    Arguments: `path` ends in `.safetensors`, read by the package of that name, or in `.pt`, `.pth` or `.bin`, read by
    PyTorch's `torch.load(weights_only=True)`.

    Raises: ValueError for another suffix; ModelFileError for a file that is damaged, holds other things than tensors,
    or is marked as one of another framework's layout; ImportError where the package is not installed; OSError where
    the file cannot be opened.

    Source: https://huggingface.co/docs/safetensors and the documentation of torch.load

    >>> read_state("model.h5")
    Traceback (most recent call last):
    ValueError: path: expected a file .safetensors, .pt, .pth or .bin, received 'model.h5'
    """
    suffix = Path(path).suffix
    if suffix not in (".safetensors", *TORCH_SUFFIXES):
        raise ValueError(f"path: expected a file .safetensors, .pt, .pth or .bin, received {shown(str(path))}")
    check_regular(path)
    Path(path).open("rb").close()  # which says what is wrong where it cannot be opened
    return _read_safetensors(path) if suffix == ".safetensors" else _read_torch(path)


def write_safetensors(path: FilePath, state: Mapping[str, Array], metadata: Mapping[str, str]) -> None:
    """Write arrays by name, and words about them, to a file that takes the place of `path` when it is complete.

    Raises: ImportError where the package `safetensors` is not installed; OSError where the file cannot be written.

    Source: https://huggingface.co/docs/safetensors

    >>> write_safetensors("model.safetensors", {"weight": np.ones(2)}, {"format": "pt"})  # doctest: +SKIP
    """
    try:
        from safetensors.numpy import save
    except ImportError:
        raise _missing(path) from None
    data = save({name: np.asarray(array, order="C") for name, array in state.items()}, dict(metadata))
    with atomic_write(path) as file:
        file.write(data)


def _read_safetensors(path: FilePath) -> dict[str, Any]:
    try:
        from safetensors import SafetensorError
    except ImportError:
        raise _missing(path) from None
    try:
        try:
            return _tensors(path, "np")
        except (TypeError, AttributeError, KeyError):  # numbers that NumPy does not have, such as bfloat16
            return _tensors(path, "pt")
    except ImportError:
        raise ModelFileError(
            f"{path}: it holds numbers that NumPy does not have; with PyTorch it can be read"
        ) from None
    except SafetensorError as error:
        raise ModelFileError(f"{path}: damaged, or no safetensors: {error}") from error


def _tensors(path: FilePath, framework: str) -> dict[str, Any]:
    from safetensors import safe_open

    with safe_open(str(path), framework=framework) as file:
        layout = (file.metadata() or {}).get("format", "pt")
        if layout not in ("pt", "np"):
            raise ModelFileError(f"{path}: expected arrays in PyTorch's layout, received format {shown(layout)}")
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping


def _read_torch(path: FilePath) -> dict[str, Any]:
    try:
        import torch
    except ImportError:
        raise ImportError(
            f"{path}: PyTorch's own files are read by PyTorch alone: pip install torch, or write the state with "
            "safetensors.torch.save_file"
        ) from None
    if tuple(map(int, torch.__version__.split(".")[:2])) < SAFE_LOADING:
        raise ImportError(f"{path}: expected PyTorch 2.6 or newer, which loads tensors alone, have {torch.__version__}")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, MemoryError):
        raise
    except Exception as error:  # PyTorch raises many kinds for bytes that make no sense
        reason = str(error).partition("\n")[0]
        raise ModelFileError(f"{path}: damaged, or it holds other things than tensors: {reason}") from error
    if not isinstance(state, dict):
        raise ModelFileError(f"{path}: expected tensors by name, received {shown(state)}")
    return state


def _missing(path: FilePath) -> ImportError:
    return ImportError(f"{path}: files .safetensors need safetensors: pip install 'minidl[safetensors]'")
