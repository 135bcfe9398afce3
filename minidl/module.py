"""Module: what every layer and network is, and the contract between forward and backward."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from minidl._typing import Array
from minidl.parameter import Buffer, Parameter
from minidl.work_arrays import WorkArrays

if TYPE_CHECKING:
    import numpy.typing as npt
    from typing_extensions import Self


class Module:
    """The base of every layer and network: parameters, a mode, and the pair `forward` and `backward`.

    A new layer needs these two methods:

    - `forward(x)` returns the output. What the backward pass will need, and nothing more, it hands to
      `save_for_backward`, which keeps it in training mode and drops it in evaluation mode.
    - `backward(grad_output)` takes the gradient of the loss with respect to that output, collects the saved
      things with `saved_for_backward()`, writes `parameter.grad` of each parameter, and returns the gradient with
      respect to the input. Gradients are written, not added up: one forward, one backward.

    Saved arrays are references, not copies: do not write into an input or an output between the two passes.
    Parameters and sub-modules are found among the attributes, in the order they were set; lists and tuples of
    modules count too. Their names are PyTorch's: `weight`, `0.bias`, `blocks.1.weight`.

    >>> class Double(Module):
    ...     def forward(self, x):
    ...         return 2 * x
    ...     def backward(self, grad_output):
    ...         return 2 * grad_output
    >>> Double()([[1.0, 2.0]]).tolist()
    [[2.0, 4.0]]
    """

    training = True
    _saved: tuple[Any, ...] | None = None
    _work_arrays: WorkArrays | None = None

    def forward(self, x: Array) -> Array:
        """Return the output for a batch `x`, whose first axis counts the samples."""
        raise NotImplementedError(f"{type(self).__name__} does not define forward(x)")

    def backward(self, grad_output: Array) -> Array:
        """Write each parameter's gradient and return the gradient with respect to the last input."""
        raise NotImplementedError(f"{type(self).__name__} does not define backward(grad_output)")

    def backward_parameters(self, grad_output: Array) -> None:
        """Write each parameter's gradient only, for a module whose input's gradient nobody asks for.

        A layer overrides it where that saves work: for the article's 49,152 inputs, a third of all arithmetic.
        """
        self.backward(grad_output)

    def __call__(self, x: Any) -> Array:
        """Return `forward(x)`, after making an array of whatever array-like `x` is."""
        return self.forward(x if isinstance(x, np.ndarray) else np.asarray(x))

    def save_for_backward(self, *things: Any) -> None:
        """Keep `things` for the backward pass in training mode; keep nothing in evaluation mode."""
        self._saved = things if self.training else None

    def saved_for_backward(self) -> tuple[Any, ...]:
        """Return what the last forward pass saved, and forget it.

        Raises: RuntimeError if there is no forward pass in training mode left to go back through.
        """
        if self._saved is None:
            raise RuntimeError(
                f"{self!r}: backward needs a forward pass in training mode just before it; "
                "each forward serves one backward, and evaluation mode keeps nothing"
            )
        saved, self._saved = self._saved, None
        return saved

    def new_array(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> Array:
        """Return an array to write a result into, its numbers still arbitrary.

        It is a new one, or inside the loop of `Trainer.fit` one that nobody holds any more (see `minidl.work_arrays`).
        """
        return np.empty(shape, dtype) if self._work_arrays is None else self._work_arrays.array(shape, dtype)

    def forget(self) -> None:
        """Drop what forward passes have saved, here and in all sub-modules."""
        for _, module in self.named_modules():
            module._saved = None

    def __getstate__(self) -> dict[str, Any]:
        """Leave the saved batch and work arrays out of copies and pickles."""
        return {name: value for name, value in vars(self).items() if name not in ("_saved", "_work_arrays")}

    def __init_subclass__(cls) -> None:
        """See to it that a class with a backward pass of its own does not inherit the short form of another."""
        super().__init_subclass__()
        if "backward" in vars(cls) and "backward_parameters" not in vars(cls):
            cls.backward_parameters = Module.backward_parameters  # type: ignore[method-assign]

    def train(self, mode: bool = True) -> Self:
        """Set training mode (or evaluation mode for False) here and in all sub-modules; return self."""
        for _, module in self.named_modules():
            module.training = mode
        return self

    def eval(self) -> Self:
        """Set evaluation mode here and in all sub-modules; return self."""
        return self.train(False)

    @contextmanager
    def mode(self, *, training: bool) -> Iterator[None]:
        """Be in one mode inside a `with` block; after it, each module is in the mode it was in before."""
        modes = [(module, module.training) for _, module in self.named_modules()]
        for module, _ in modes:
            module.training = training
        try:
            yield
        finally:
            for module, before in modes:
                module.training = before

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Yield the direct sub-modules with their names."""
        for name, value in vars(self).items():
            if isinstance(value, Module):
                yield name, value
            elif isinstance(value, (list, tuple)):
                for i, item in enumerate(value):
                    if isinstance(item, Module):
                        yield f"{name}.{i}", item

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """Yield this module and all below it with their dotted names, its own being `prefix`."""
        yield prefix, self
        for name, child in self.named_children():
            yield from child.named_modules(_join(prefix, name))

    def named_state(self) -> Iterator[tuple[str, Buffer]]:
        """Yield all parameters and buffers with their dotted names, in the order of definition, a shared one once."""
        seen: set[int] = set()
        for prefix, module in self.named_modules():
            for name, value in vars(module).items():
                if isinstance(value, Buffer) and id(value) not in seen:
                    seen.add(id(value))
                    yield _join(prefix, name), value

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Yield all parameters with their dotted names, in the order of definition, a shared one once."""
        for name, value in self.named_state():
            if isinstance(value, Parameter):
                yield name, value

    def parameters(self) -> list[Parameter]:
        """Return all parameters, in the order of `named_parameters`."""
        return [parameter for _, parameter in self.named_parameters()]

    def state_dict(self) -> dict[str, Array]:
        """Return a copy of the data of every parameter and buffer by name.

        >>> from minidl import Dense, Sequential
        >>> list(Sequential(Dense(2, 1)).state_dict())
        ['0.weight', '0.bias']
        """
        return {name: holder.data.copy() for name, holder in self.named_state()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Copy arrays of `state` into the parameters and buffers of the same names, or change nothing at all.

        Raises: ValueError that lists every missing, unexpected, mis-shaped and non-numeric entry at once.
        """
        holders = dict(self.named_state())
        arrays = {name: np.asarray(value) for name, value in state.items()}
        problems = [f"missing {name} {holder.shape}" for name, holder in holders.items() if name not in arrays]
        for name, array in arrays.items():
            if name not in holders:
                problems.append(f"unexpected {name} {array.shape}")
            elif array.shape != holders[name].shape:
                problems.append(f"{name}: expected shape {holders[name].shape}, received {array.shape}")
            elif array.dtype.kind not in "fiu":
                problems.append(f"{name}: expected real numbers, received dtype {array.dtype}")
        if problems:
            raise ValueError("the state does not fit the model; nothing was loaded:\n  " + "\n  ".join(problems))
        for name, holder in holders.items():
            holder.data[...] = arrays[name]

    def config(self) -> dict[str, Any]:
        """Return the keyword arguments, JSON values all, that build this layer anew, apart from its arrays.

        A layer whose constructor takes arguments overrides it, if its networks are to be saved.
        """
        return {}

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


def _join(prefix: str, name: str) -> str:
    return f"{prefix}.{name}" if prefix else name
