"""The probability of one photograph, 128 x 128 uint8 pixels, by the article's network.

    python -m benchmarks.predict

PyTorch's network is in evaluation mode and runs under `inference_mode`, from the same pixels to a NumPy array.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from benchmarks.comparison import Comparison, Target, compare, timed
from benchmarks.machine import peer
from benchmarks.peers import like
from benchmarks.report import show
from minidl import Flatten, Rescale, Sequential, mlp
from minidl._typing import Array

DIMS, CALLS = [49152, 20, 7, 5, 1], 500


def measure() -> Iterable[Comparison]:
    photograph = np.random.default_rng(0).integers(0, 256, (1, 128, 128, 3), dtype=np.uint8)
    network = mlp(DIMS, rng=0)
    model = Sequential(Rescale(), Flatten(), *network)
    rivals = {"minidl": lambda: model.predict(photograph), "PyTorch": pytorch(network, photograph)}
    yield compare(
        f"predict of one photograph 128 x 128 x 3, network {DIMS}, float32",
        {name: run and timed(repeated(run), per=CALLS) for name, run in rivals.items()},
        repetitions=7,
        targets={"PyTorch": Target(at_least=1.0)},
    )


def repeated(run: Callable[[], object]) -> Callable[[], None]:
    def runs() -> None:
        for _ in range(CALLS):
            run()

    return runs


def pytorch(network: Sequential, photograph: Array) -> Callable[[], object] | None:
    torch = peer("torch")
    if torch is None:
        return None
    net = torch.nn.Sequential(*like(network), torch.nn.Sigmoid()).eval()

    def run() -> object:
        with torch.inference_mode():
            return net(torch.from_numpy(photograph).flatten(1).float().div_(255)).numpy()

    return run


if __name__ == "__main__":
    show(measure())
