"""Exchange: what the processes tell each other in a training step, and Ctrl-C, which ends all in the same step."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import FrameType
from typing import Any

import numpy as np

from minidl._typing import Array
from minidl.distributed.group import Group
from minidl.errors import NonFiniteError
from minidl.training.generators import Generators
from minidl.training.interrupts import Interrupts

SMALL_SHARE = 2.0**-40  # a power of 2, by which numbers are multiplied and divided without rounding


class SharedInterrupts(Interrupts):
    """Ctrl-C on any process waits until all know of it, and then raises KeyboardInterrupt on all of them.

    >>> SharedInterrupts().waiting
    0
    """

    def __init__(self) -> None:
        super().__init__()
        self.waiting = 0

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.waiting += 1

    def agree(self, pressed: float) -> None:
        """Raise KeyboardInterrupt where Ctrl-C was pressed on any process; all must be given the same number."""
        if pressed and not self.pressed:
            self.pressed = 1
            self._raise_if_pressed()


class Exchange:
    """The present batch of a run: this process's part of it, and the sums over all processes.

    Let the batch have c targets, c_r of them here. The loss is a mean, so that its gradient is the sum over the
    processes of `c_r / c` times the gradient of the mean here: `share` is that factor. A process that has no sample of
    the batch computes one all the same, its `stand-in`, whose share is 0, so that no layer is given empty arrays.

    Attributes: `count` is c, `is_stand_in` whether the present sample is one.
    """

    def __init__(self, group: Group, interrupts: SharedInterrupts) -> None:
        self.group, self.interrupts = group, interrupts
        self.generators: Generators = {}  # that the run draws from
        self.end_batch()

    def begin_batch(self, own: float, count: float, is_stand_in: bool, sample_share: float = 1.0) -> None:
        """Begin a batch of `count` targets, of which `own` are here, and of its samples `sample_share`."""
        self.own, self.count, self.is_stand_in, self.is_in_step = own, count, is_stand_in, True
        self.sample_share = sample_share

    def end_batch(self) -> None:
        """Forget the batch; what is computed from now on is this process's own affair."""
        self.own = self.count = self.sample_share = 1.0
        self.is_stand_in = self.is_in_step = False
        self._record: dict[str, Any] | None = None
        self._means: dict[str, float] = {}  # over the targets here
        self._totals: dict[str, float] = {}  # over those of all processes

    @property
    def share(self) -> float:
        """The factor of this process's means in those of the batch."""
        return 0.0 if self.is_stand_in or not self.count else self.own / self.count

    @property
    def gradient_share(self) -> float:
        """The factor of this process's gradients.

        Where none of its targets counts, the gradient of its loss is 0, but its samples still have a part in what
        others compute, by way of the statistics of BatchNorm, for which any factor above 0 is right. It is a small one,
        as a `train_step` may add what is the same on all processes, such as the gradient of a penalty. Where no target
        of the batch counts, it is the share of the samples.
        """
        if self.is_stand_in:
            return 0.0
        return self.share or (SMALL_SHARE if self.count else self.sample_share)

    def keep(self, record: dict[str, Any], names: Sequence[str]) -> None:
        """Keep what the batch has measured here; the numbers of these names are means over its targets."""
        self._record, self._means = record, {name: float(record.get(name, 0.0)) for name in names}

    def take_record(self) -> dict[str, Any] | None:
        """Return what was kept, with the means over all processes in place of those here; None where nothing was."""
        record, self._record = self._record, None
        return None if record is None else {**record, **self._totals}

    def with_own_means(self, record: Mapping[str, Any]) -> dict[str, Any]:
        """Return a record with the exact means of this process in place of those over all, where it has these."""
        own = {name: self._means[name] for name, total in self._totals.items() if record.get(name) == total}
        return {**record, **own}

    def numbers(self) -> list[float]:
        """Return what is summed up beside the gradients: whether Ctrl-C was pressed, and the shares of all means."""
        means = [0.0 if self.share == 0 else self.share * mean for mean in self._means.values()]
        return [float(self.interrupts.waiting > 0), *means]

    def receive(self, totals: Array) -> None:
        """Take the sums of `numbers` over all processes.

        Raises: KeyboardInterrupt where one was pressed; NonFiniteError where the cost is not finite; both on all.
        """
        pressed, *means = totals.tolist()
        exact = self._means.values() if self.group.size == 1 else means
        self._totals = dict(zip(self._means, exact, strict=True))
        self.interrupts.agree(pressed)
        cost = self._totals.get("loss", 0.0)
        if not math.isfinite(cost):
            raise NonFiniteError(f"the cost is {cost}")

    def statistics(self, count: int, mean: Array, variance: Array) -> tuple[int, Array, Array]:
        """Return count, mean and variance over all processes, from those over this one's samples.

        Formula: `mean = sum c_r mean_r / c`, `variance = sum c_r (variance_r + (mean_r - mean)^2) / c`.
        """
        if not self.is_in_step:
            return count, mean, variance
        own = np.concatenate([[0.0 if self.is_stand_in else count], mean, variance], dtype=np.float64)
        counts, means, variances = np.split(self.group.allgather_arrays(own), [1, 1 + len(mean)], axis=1)
        used = counts[:, 0] > 0  # a stand-in may be anything
        counts, means, variances = counts[used], means[used], variances[used]
        total = counts.sum()
        whole_mean = (counts * means).sum(axis=0) / total
        spread = (counts * (variances + (means - whole_mean) ** 2)).sum(axis=0) / total
        return int(total), whole_mean.astype(mean.dtype), spread.astype(variance.dtype)

    def gradient_sums(self, sums: Array) -> Array:
        """Return the sums over all processes, in the scale of the gradients here, that of which is `gradient_share`."""
        if not self.is_in_step:
            return sums
        factor = self.gradient_share
        total = factor * sums.astype(np.float64) if factor else np.zeros(sums.shape)
        self.group.allreduce_sum(total)
        return (total / (factor or 1.0)).astype(sums.dtype)
