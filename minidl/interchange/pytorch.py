"""The state of a network in PyTorch's names and layouts, in and out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from minidl._files import FilePath
from minidl._state import fitted
from minidl._typing import Array
from minidl._validation import shown
from minidl.interchange._feature_order import FlattenOrder
from minidl.interchange._pytorch_layout import entries
from minidl.interchange.safetensors import read_state, write_safetensors
from minidl.module import Module

LAYOUT = {"format": "pt", "layout": "pytorch"}


def pytorch_state(
    model: Module,
    *,
    names: Mapping[str, str] | None = None,
    input_shape: Any = None,
    flatten: FlattenOrder | None = None,
) -> dict[str, Array]:
    """Return a copy of a network's parameters and buffers in the names and layouts of PyTorch.

    Formula: kernels become (out, in, height, width), those of transposed convolutions (in, out, height, width); the
    weights behind a `Flatten` of pictures are laid out channel by channel; `running_variance` is `running_var`, and
    beside it stands `num_batches_tracked`, which is 0. All else is the same in both.

    Arguments: those of `load_pytorch_state`. PyTorch takes the result as
    `network.load_state_dict({name: torch.as_tensor(array) for name, array in state.items()})`.

    Raises: ValueError as `load_pytorch_state` does.

    Source: the documentation of torch.nn.

    >>> from minidl import Conv2D, Dense, Flatten, Sequential
    >>> model = Sequential(Conv2D(3, 8, 5, rng=0), Flatten(), Dense(128, 2, rng=1))
    >>> {name: array.shape for name, array in pytorch_state(model).items()}
    {'0.weight': (8, 3, 5, 5), '0.bias': (8,), '2.weight': (2, 128), '2.bias': (2,)}
    """
    own = entries(model, names, input_shape, flatten)
    state: dict[str, Array] = {}
    for name, entry in own.items():
        state[name] = entry.to_pytorch(entry.buffer.data)
        if entry.counter is not None:
            state[entry.counter] = np.array(0, np.int64)
    return state


def load_pytorch_state(
    model: Module,
    state: Mapping[str, Any] | FilePath,
    *,
    names: Mapping[str, str] | None = None,
    input_shape: Any = None,
    flatten: FlattenOrder | None = None,
) -> None:
    """Copy the state of a network of PyTorch into one of the same layers, or change nothing at all.

    Formula: the inverse of `pytorch_state`; the layers of the model say in which layout each array is.

    Arguments:

    - `state` is what `state_dict()` of PyTorch returns, tensors or arrays by name, or the path of a file of them:
      `.safetensors`, or, where PyTorch is installed, `.pt`, `.pth` or `.bin`, of which nothing but tensors is loaded.
    - `names` says which path in PyTorch is which path in minidl, where they differ: `{"features": "0", "fc": "3"}`.
      Of two that apply the longer one of minidl's counts; `""` is the network itself.
    - `input_shape` of one sample, channels last, is needed where pictures are flattened whose number of channels the
      layers do not say.
    - `flatten` says how PyTorch's network lays out what it flattens: "channels_first", that of its own layers, or
      "channels_last"; by default the layers say so: channels stand first behind convolutions and pooling, last behind
      `Embedding`, `LSTM`, `GRU` and `SelfAttention`.

    Arrays of layers that a user wrote are taken as they are; a `forward` of theirs that flattens pictures without a
    `Flatten` cannot be seen: features behind it keep their order.

    Raises: ValueError that lists every missing, unexpected, mis-shaped and non-numeric entry at once, and for features
    behind a Flatten whose order is not known; TypeError for a model or a state of another kind; ModelFileError for a
    file that is damaged or of another layout; ImportError where the package that reads it is not installed; OSError
    where it cannot be opened.

    Source: the documentation of torch.nn.

    >>> from minidl import Conv2D
    >>> model = Conv2D(3, 2, 3, rng=0)
    >>> load_pytorch_state(model, {"weight": np.ones((2, 3, 3, 3)), "bias": np.zeros(2)})
    >>> load_pytorch_state(model, {"weight": np.ones((2, 3, 3, 5)), "scale": np.zeros(2)})
    Traceback (most recent call last):
    ValueError: the state does not fit the model; nothing was loaded:
      missing bias (2,)
      weight: expected shape (2, 3, 3, 3), received (2, 3, 3, 5)
      unexpected scale (2,)
    """
    own = entries(model, names, input_shape, flatten)
    arrays = _as_arrays(read_state(state) if isinstance(state, (str, Path)) or hasattr(state, "__fspath__") else state)
    counts = {entry.counter for entry in own.values()}
    arrays = {name: array for name, array in arrays.items() if name not in counts}
    expected = {name: entry.to_pytorch(entry.buffer.data) for name, entry in own.items()}
    taken, problems = fitted(arrays, expected)
    if problems:
        raise ValueError("the state does not fit the model; nothing was loaded:\n  " + "\n  ".join(problems))
    for name, entry in own.items():
        entry.buffer.data[...] = entry.from_pytorch(taken[name])


def save_pytorch_state(
    model: Module,
    path: FilePath,
    *,
    names: Mapping[str, str] | None = None,
    input_shape: Any = None,
    flatten: FlattenOrder | None = None,
) -> None:
    """Write `pytorch_state(model)` to a file `.safetensors`, whose header says that it is in PyTorch's layout.

    Arguments: those of `load_pytorch_state`. PyTorch reads it with `safetensors.torch.load_file(path)`.

    Raises: ValueError as `pytorch_state` does, and for another suffix; ImportError where `safetensors` is not
    installed; OSError where the file cannot be written.

    Source: https://huggingface.co/docs/safetensors

    >>> from minidl import mlp
    >>> save_pytorch_state(mlp([2, 1], rng=0), "model.txt")
    Traceback (most recent call last):
    ValueError: path: expected a file .safetensors, received 'model.txt'
    """
    if Path(path).suffix != ".safetensors":
        raise ValueError(f"path: expected a file .safetensors, received {shown(str(path))}")
    state = pytorch_state(model, names=names, input_shape=input_shape, flatten=flatten)
    write_safetensors(path, state, LAYOUT)


def _as_arrays(state: Any) -> dict[str, Any]:
    """Return tensors as arrays, and arrays as they are."""
    if not isinstance(state, Mapping):
        raise TypeError(f"state: expected tensors by name, as state_dict() returns them, received {shown(state)}")
    arrays: dict[str, Any] = {}
    others = []
    for name, value in state.items():
        if not isinstance(name, str):
            raise TypeError(f"state: expected names that are strings, received {shown(name)}")
        if isinstance(value, Mapping):
            raise TypeError(f"state: expected tensors by name, received a mapping at {name!r}; give that part alone")
        if hasattr(value, "state_dict"):
            raise TypeError(f"state: expected tensors by name, received a module at {name!r}; give its state_dict()")
        try:
            arrays[name] = _as_array(value)
        except (TypeError, RuntimeError):  # sparse or quantized tensors, those without data, and of 8 bits
            others.append(f"{name} ({value.dtype}, {value.layout}, {value.device})")
    if others:
        raise TypeError(f"state: expected dense tensors of numbers that NumPy has, received {', '.join(others)}")
    return arrays


def _as_array(value: Any) -> Any:
    """Return a tensor as an array, one of bfloat16, which NumPy itself does not have, in float32."""
    if hasattr(value, "detach"):
        tensor = value.detach().cpu()
        return (tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor).numpy(force=True)
    # So safetensors returns it where another program has taught NumPy the type.
    return value.astype(np.float32) if str(getattr(value, "dtype", "")) == "bfloat16" else value
