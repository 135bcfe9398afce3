"""What belongs to a call, not to the module that is called: its mode, its padding, what it follows, who observes it."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Protocol, TypeAlias

import numpy as np

from minidl._context import Changed, variable
from minidl._typing import Array
from minidl._validation import check_finite, is_finite

Observer: TypeAlias = Callable[[Any, Any, Any], object]
"""Called with a module, its input and its output, after each module that is called."""

current_mode: ContextVar[bool | None] = variable("current_mode", None)
"""True for training, False for evaluation, None for each module's own mode."""

current_mask: ContextVar[Array | None] = variable("current_mask", None)
"""Which time steps (batch, time) are real, in the forward pass of a `Masked`; None where all are."""

current_stream: ContextVar[dict[object, Any] | None] = variable("current_stream", None)
"""What layers remember, each under itself, of the steps before this call, inside `streaming()`; None outside."""

current_observer: ContextVar[Observer | None] = variable("current_observer", None)


class BatchSums(Protocol):
    """Sums over a batch of which other processes have other samples, for layers that need statistics of all of it."""

    def statistics(self, count: int, mean: Array, variance: Array) -> tuple[int, Array, Array]:
        """Return count, mean and variance of each feature over all processes, from those over this one's samples."""

    def gradient_sums(self, sums: Array) -> Array:
        """Return the sums over all processes, in the scale of this one's gradients, of sums over its samples."""


current_batch_sums: ContextVar[BatchSums | None] = variable("current_batch_sums", None)
"""What sums over a batch that several processes share, in a training step; None where this process has all of it."""


def calling(*, training: bool, observer: Observer | None = None) -> Changed:
    """Put all calls that this thread makes inside the block into one mode, whatever the modules' own.

    Nothing is written to the modules, so that other threads may call them in another mode at the same time.

    >>> from minidl import Dropout
    >>> with calling(training=False):
    ...     Dropout(0.5)([1.0, 2.0]).tolist()
    [1.0, 2.0]
    """
    # Such a call is given whole sequences, also inside `streaming()`.
    return Changed((current_mode, training), (current_observer, observer), (current_stream, None))


def streaming() -> Changed:
    """Let the calls inside the block continue one sequence: each is given the steps that follow those of the last call.

    Attention remembers keys and values, recurrent layers their state, positional embeddings the position, so that a new
    step costs what one step costs. What is remembered belongs to the block: nothing is written to the modules, and all
    calls are in evaluation mode. A generator must not `yield` inside the block, or its caller would be inside, too.
    `predict`, `evaluate` and `fit` take whole sequences, also here.

    >>> from minidl import GRU
    >>> layer, x = GRU(1, 2, rng=0), np.ones((1, 3, 1), np.float32)
    >>> with streaming():
    ...     steps = np.concatenate([layer(x[:, :2]), layer(x[:, 2:])], axis=1)
    >>> bool(np.allclose(steps, layer(x)))
    True
    """
    return Changed((current_mode, False), (current_observer, None), (current_stream, {}))


def check_output(model: Callable[[Array], Array], x: Array, output: Array, rows: range) -> None:
    """Raise a ValueError for an output that is not finite, other than -inf that a layer has set on purpose.

    >>> check_output(np.negative, np.array([1.0]), np.array([-1.0]), range(1))
    """
    if is_finite(output):
        return
    if output.max() == np.inf or np.isnan(output).any() or _overflows(model, x):
        reason = f"of weights that are not finite, or of numbers too large for {output.dtype}"
        check_finite(output, f"output {reason}", rows)


def _overflows(model: Callable[[Array], Array], x: Array) -> bool:
    try:
        with np.errstate(over="raise"):
            model(x)
    except FloatingPointError:
        return True
    return False
