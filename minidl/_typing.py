"""The type aliases that the whole package shares."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]
"""A NumPy array; the docstrings give its shape and dtype."""

Seed: TypeAlias = int | np.random.Generator | None
"""What every random thing accepts as `rng`: a seed, a generator, or None for fresh entropy."""
