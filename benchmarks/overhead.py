"""What Trainer adds to an epoch of about a millisecond: history, accuracy, checks and silent progress.

    python -m benchmarks.overhead

The bare loop is forward, loss, backward and step with the same layers, loss and optimizer. Like Trainer, it does not
compute the gradient of the network's input.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from benchmarks.comparison import Comparison, Target, compare, timed
from benchmarks.report import show
from minidl import SGD, BinaryCrossEntropy, Sequential, Trainer, mlp
from minidl._typing import Array
from minidl.training.rewrites.input_gradient import WithoutInputGradient

SAMPLES, DIMS, EPOCHS, LEARNING_RATE = 2000, [128, 64, 16, 1], 300, 0.01


def measure() -> Iterable[Comparison]:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((SAMPLES, DIMS[0]), dtype=np.float32)
    y = rng.integers(0, 2, (SAMPLES, 1)).astype(np.float32)

    model, other_model = mlp(DIMS, rng=0), mlp(DIMS, rng=0)
    trainer = Trainer(model, BinaryCrossEntropy(), SGD(model.parameters(), LEARNING_RATE))
    yield compare(
        f"a full-batch epoch of {SAMPLES} x {DIMS}, float32",
        {
            "Trainer.fit": timed(lambda: trainer.fit(x, y, EPOCHS, print_every=None), per=EPOCHS),
            "bare loop": timed(lambda: bare_loop(other_model, x, y, EPOCHS), per=EPOCHS),
        },
        repetitions=15,
        targets={"bare loop": Target(at_least=1 / 1.02)},
    )


def bare_loop(model: Sequential, x: Array, y: Array, epochs: int) -> None:
    """Train an `mlp`, without its Sigmoid, on the loss of logits."""
    network = WithoutInputGradient(list(model)[:-1])
    loss, optimizer = BinaryCrossEntropy(from_logits=True), SGD(network.parameters(), LEARNING_RATE)
    for _ in range(epochs):
        output = network(x)
        loss.value(output, y)
        network.backward(loss.gradient(output, y))
        optimizer.step()


if __name__ == "__main__":
    show(measure())
