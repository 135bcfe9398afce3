"""What containers require of the modules that they hold, and of the outputs that they put together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minidl._samples import leaves
from minidl._typing import Array
from minidl._validation import cast
from minidl.errors import LayerInputError
from minidl.module import Module


def distinct_modules(owner: str, modules: Sequence[Module]) -> list[Module]:
    """Return what a container is given: modules, each of them once.

    Raises: TypeError for something else; ValueError for one that is given twice.
    """
    seen: set[int] = set()
    for i, module in enumerate(modules):
        if not isinstance(module, Module):
            hint = f"; write {module.__name__}(...) for an instance" if isinstance(module, type) else ""
            raise TypeError(f"{owner}, argument {i}: expected a Module, received {module!r}{hint}")
        if id(module) in seen:
            raise ValueError(f"{owner}, argument {i}: {module!r} stands here twice; make a second layer")
        seen.add(id(module))
    return list(modules)


def of_one_shape(
    owner: Module, outputs: Sequence[Array], given: Any, *, but_last_axis: bool = False, hint: str = ""
) -> list[Array]:
    """Return outputs of one shape in one precision: the lowest of those that are not just the input `given`.

    Raises: LayerInputError for other shapes, for whole numbers alone, and for numbers too large for that precision.
    """
    compared = slice(-1) if but_last_axis else slice(None)
    if len({(output.ndim, output.shape[compared]) for output in outputs}) > 1:
        received = ", ".join(str(output.shape) for output in outputs)
        but = " but for the last axis" if but_last_axis else ""
        raise LayerInputError(owner, f"expected outputs of one shape{but}, received {received}{hint}")
    passed_on = leaves(given)
    computed = [output for output in outputs if not any(output is one for one in passed_on)] or outputs
    dtypes = [output.dtype for output in computed if output.dtype.kind == "f"]
    if not dtypes:
        raise LayerInputError(owner, f"expected floating outputs, received dtype {computed[0].dtype}")
    dtype = min(dtypes, key=lambda dtype: dtype.itemsize)
    try:
        return [output if output.dtype == dtype else cast(output, dtype, "x") for output in outputs]
    except ValueError as error:
        raise LayerInputError(owner, str(error)) from None
