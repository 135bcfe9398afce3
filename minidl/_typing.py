"""The type aliases that the whole package shares."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

# Names in quotes are read by type checkers alone: `numpy.random` and `numpy.typing` cost half of `import minidl`.
if TYPE_CHECKING:
    from typing import Any

    import numpy as np
    import numpy.typing as npt

Array: TypeAlias = "npt.NDArray[Any]"
"""A NumPy array; the docstrings give its shape and dtype."""

Seed: TypeAlias = "int | np.random.Generator | None"
"""What every random thing accepts as `rng`: a seed, a generator, or None for fresh entropy."""

DTypeLike: TypeAlias = "npt.DTypeLike"
"""What names a NumPy dtype: float, "float64", numpy.float32."""
