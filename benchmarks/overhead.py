"""What Trainer adds to an epoch of about a millisecond: history, accuracy, checks and silent progress.

    python -m benchmarks.overhead

The bare loop is forward, loss, backward, step, by the same layers, loss and optimizer, and keeps nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from benchmarks.comparison import Comparison, Target, compare, timed
from benchmarks.report import show
from minidl import SGD, BinaryCrossEntropy, Sequential, Trainer, mlp

SAMPLES, DIMS, EPOCHS = 2000, [128, 64, 16, 1], 300


def measure() -> Iterable[Comparison]:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((SAMPLES, DIMS[0]), dtype=np.float32)
    y = rng.integers(0, 2, (SAMPLES, 1)).astype(np.float32)

    model = mlp(DIMS, rng=0)
    trainer = Trainer(model, BinaryCrossEntropy(), SGD(model.parameters(), 0.01))

    layers = Sequential(*list(mlp(DIMS, rng=0))[:-1])
    loss = BinaryCrossEntropy(from_logits=True)
    optimizer = SGD(layers.parameters(), 0.01)

    def bare_loop() -> None:
        for _ in range(EPOCHS):
            loss(layers(x), y)
            layers.backward_parameters(loss.backward())
            optimizer.step()

    yield compare(
        f"a full-batch epoch of {SAMPLES} x {DIMS}, float32",
        {
            "Trainer.fit": timed(lambda: trainer.fit(x, y, EPOCHS, print_every=None), per=EPOCHS),
            "bare loop": timed(bare_loop, per=EPOCHS),
        },
        repetitions=15,
        targets={"bare loop": Target(at_least=1 / 1.02)},
    )


if __name__ == "__main__":
    show(measure())
