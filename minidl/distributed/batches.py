"""DistributedBatches: batches of a set of which each process has some of the samples."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import numpy as np

from minidl._samples import of_each
from minidl._typing import Array
from minidl.data._rows import take
from minidl.data.batches import Batches, Epoch
from minidl.distributed.exchange import Exchange
from minidl.losses import Loss
from minidl.training.checkpoint import DIGESTED_BYTES
from minidl.training.generators import set_states, states_of


class DistributedBatches(Batches):
    """The part of this process in the batches of a set, whose order is that of one process that has all of it.

    All processes draw the same order from the same seed, and each takes those samples of a batch that it has: for one
    that has none, its first sample stands in, and does not count. What else is drawn at random, for Dropout and in
    augmentation, is drawn from streams of numbers that differ from process to process.

    Arguments: `x` are the samples here, `numbers` their numbers in the whole set, ascending; `y` are the targets of the
    whole set, `settings` the other arguments of its Batches.
    """

    def __init__(self, x: Any, numbers: Array, y: Any, exchange: Exchange, loss: Loss, **settings: Any) -> None:
        super().__init__(np.empty(len(y)), y, **settings)  # which checks the sizes
        self.x, self._numbers = x, numbers
        self._exchange, self._loss = exchange, loss
        self._places = np.full(len(y), -1)
        self._places[numbers] = np.arange(len(numbers))
        self._own_y = of_each(lambda part, _: part[numbers], y, "y")
        self._drawn: Array | None = None  # the order of the present epoch
        self._counts: deque[tuple[float, float, bool, float]] = deque()  # of the batches that were read ahead

    @property
    def numbers(self) -> Array:
        """The numbers in the whole set of the samples that are here."""
        return self._numbers

    def all_samples(self) -> Any:
        """Return the samples of all processes in the order of the set, in memory; all processes must call it."""
        return of_each(lambda part, _: self._joined(np.asarray(part[:])), self.x, "x")

    def described(self) -> Batches:
        """Return batches that a checkpoint tells from others as those of one process; all processes must call it."""

        def described(part: Any, _: str) -> Any:
            shaped = np.broadcast_to(np.zeros((), part.dtype), (len(self.y), *part.shape[1:]))
            is_digested = type(part) is np.ndarray and shaped.nbytes <= DIGESTED_BYTES
            return self._joined(part) if is_digested else shaped if type(part) is np.ndarray else part

        batches = Batches(np.empty(len(self.y)), self.y, self.batch_size, self.rng)
        batches.x = of_each(described, self.x, "x")
        return batches

    def _joined(self, rows: Array) -> Array:
        group = self._exchange.group
        order = np.argsort(group.allgather_rows(self._numbers))
        joined = group.allgather_rows(rows)
        return joined if np.array_equal(order, np.arange(len(order))) else joined[order]

    def __iter__(self) -> Epoch:
        return self._epoch()

    def _epoch(self) -> Generator[tuple[Any, Any], None, None]:
        self._drawn = None if self.batch_size is None else self.rng.permutation(len(self.y))
        self._counts.clear()
        group, generators = self._exchange.group, list(self._exchange.generators.values())
        for generator in generators if group.size > 1 else ():
            if generator is not self.rng or self._drawn is None:
                generator.integers(1 << 63)  # each epoch has its own streams
        with own_streams(generators, group.rank, group.size):
            batches = super().__iter__()
            try:
                for batch in batches:
                    self._exchange.begin_batch(*self._counts.popleft())
                    yield batch
            finally:
                batches.close()
                self._exchange.end_batch()

    def _plain(self) -> Generator[tuple[Any, Any], None, None]:
        if self._drawn is None or self.batch_size is None:
            y = self._own_y[:]
            self._counts.append((self._loss.count(y), self._loss.count(self.y[:]), False, len(self.x) / len(self.y)))
            yield self.x[:], y
            return
        for start in range(0, self.samples, self.batch_size):
            rows = self._drawn[start : start + self.batch_size]
            places = self._places[rows]
            places = places[places >= 0]
            is_stand_in, sample_share = len(places) == 0, len(places) / len(rows)
            places = np.zeros(1, np.intp) if is_stand_in else places
            y = take(self._own_y, places)
            self._counts.append((self._loss.count(y), self._loss.count(take(self.y, rows)), is_stand_in, sample_share))
            yield take(self.x, places), y


@contextmanager
def own_streams(generators: Sequence[np.random.Generator], rank: int, size: int) -> Iterator[None]:
    """Let generators that are in one state on all processes draw other numbers on each inside the block.

    The streams depend on that state and on the number of the process alone. At the end the generators are in one state
    on all processes again, from which checkpoints go on: the one that they had.

    >>> drawn = []
    >>> for rank in (0, 1):
    ...     with own_streams([rng := np.random.default_rng(0)], rank, size=2):
    ...         drawn.append(rng.random())
    >>> drawn[0] == drawn[1]
    False
    """
    if size == 1:
        yield
        return
    named = {str(i): generator for i, generator in enumerate(generators)}
    states, own = states_of(named), {}
    for name, generator in named.items():
        kind: Any = type(generator.bit_generator)
        own[name] = kind([int(deepcopy(generator).integers(1 << 63)), rank]).state
    try:
        set_states(named, own)
        yield
    finally:
        set_states(named, states)
