"""The type aliases that the whole package shares."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

# For type checkers and tools that read annotations: `numpy.random` and `numpy.typing` cost half of `import minidl`.
if TYPE_CHECKING or os.environ.get("EAGER_IMPORT"):
    from collections.abc import Callable, Mapping
    from typing import TypeAlias

    import numpy as np
    import numpy.typing as npt

    Array: TypeAlias = npt.NDArray[Any]
    """A NumPy array; the docstrings give its shape and dtype."""

    Seed: TypeAlias = int | np.random.Generator | None
    """What every random thing accepts as `rng`: a seed, a generator, or None for fresh entropy."""

    DTypeLike: TypeAlias = npt.DTypeLike
    """What names a NumPy dtype: float, "float64", numpy.float32."""

    Initializer: TypeAlias = Callable[[tuple[int, ...], np.random.Generator], Array]
    """A function that returns the first values of a weight of this shape."""

    Generators: TypeAlias = Mapping[str, np.random.Generator]
    """Random generators by name."""
else:
    Array = Seed = DTypeLike = Initializer = Generators = Any
