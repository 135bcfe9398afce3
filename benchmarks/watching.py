"""What the bar, metrics and class weights add to training steps of a millisecond, in processor time.

    python -m benchmarks.watching

Each rival is the same `fit` with one thing more, and one with all. The time is that of the processor, all threads of
the process together: 1 % is less than the wall time of a shared machine varies by. The bar writes into memory, as what
a terminal's window does is another program's time.
"""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Iterable
from unittest import mock

import numpy as np

from benchmarks.comparison import Comparison, Measurement, Target, compare
from benchmarks.machine import peer
from benchmarks.report import show
from minidl import SGD, BinaryCrossEntropy, Trainer, mlp
from minidl.metrics import F1
from minidl.training.weights import ClassWeight

DIMS, LEARNING_RATE = [784, 128, 64, 1], 0.01
BATCH_SIZE, BATCHES, EPOCHS = 160, 60, 5  # a step of one millisecond


class Terminal(io.StringIO):
    """A stream on which bars are drawn."""

    def isatty(self) -> bool:
        """Return True."""
        return True


def measure() -> Iterable[Comparison]:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((BATCH_SIZE * BATCHES, DIMS[0]), dtype=np.float32)
    y = rng.integers(0, 2, (len(x), 1)).astype(np.float32)

    def fit(*, bar: bool = False, f1: bool = False, class_weight: ClassWeight = None) -> Measurement | None:
        if bar and peer("tqdm") is None:
            return None
        model = mlp(DIMS, rng=0)
        trainer = Trainer(
            model, BinaryCrossEntropy(), SGD(model.parameters(), LEARNING_RATE), metrics=[F1()] if f1 else None
        )

        def measured() -> float:
            with mock.patch.object(sys, "stderr", Terminal()):
                start = time.process_time()
                trainer.fit(
                    x, y, EPOCHS, BATCH_SIZE, print_every="auto" if bar else None, rng=0, class_weight=class_weight
                )
                return (time.process_time() - start) / (EPOCHS * BATCHES)

        return measured

    rivals = {
        "alone": fit(),
        "with the bar": fit(bar=True),
        "with F1": fit(f1=True),
        "with class weights": fit(class_weight="balanced"),
        "with all three": fit(bar=True, f1=True, class_weight="balanced"),
    }
    yield compare(
        f"training step of {DIMS}, batch {BATCH_SIZE}, float32",
        rivals,
        repetitions=31,
        targets={name: Target(at_most=1.02) for name in list(rivals)[1:]},
    )


if __name__ == "__main__":
    show(measure())
