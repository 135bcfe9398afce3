"""An epoch of a convolutional network: four blocks of convolution, batch normalization, ReLU and pooling.

    python -m benchmarks.convnet

16, 32, 64 and 64 channels, pictures of 64 x 64 uint8 pixels in shuffled batches of 32, Adam. PyTorch does the same in
its usual loop, pictures stored channels first as it likes them. Peak memory is that of a fresh process that makes one
epoch, import and pictures included.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any

import numpy as np

from benchmarks.comparison import BEST_PEER, Comparison, Target, compare, timed
from benchmarks.machine import peer
from benchmarks.processes import peak_memory
from benchmarks.report import show
from minidl import (
    Adam,
    BatchNorm,
    BinaryCrossEntropy,
    Conv2D,
    Dense,
    Flatten,
    MaxPool2D,
    Module,
    ReLU,
    Rescale,
    Sequential,
    Trainer,
)
from minidl._typing import Array

PICTURES, SIDE, BATCH, CHANNELS, LEARNING_RATE = 256, 64, 32, (3, 16, 32, 64, 64), 1e-3
FEATURES = CHANNELS[-1] * (SIDE // 16) ** 2


def measure() -> Iterable[Comparison]:
    has_pytorch = peer("torch") is not None
    yield compare(
        f"an epoch of {PICTURES} pictures {SIDE} x {SIDE} x 3, channels {CHANNELS[1:]}, float32",
        {
            "minidl": timed(minidl_epoch()),
            "PyTorch": timed(pytorch_epoch()) if has_pytorch else None,
            "PyTorch, channels last": timed(pytorch_epoch("channels_last")) if has_pytorch else None,
        },
        repetitions=5,
        targets={BEST_PEER: Target(at_least=1.0)},
    )
    yield compare(
        "peak memory of a process that does it",
        {
            "minidl": peak_memory("benchmarks.convnet", "minidl_epoch()()"),
            "PyTorch": peak_memory("benchmarks.convnet", "pytorch_epoch()()") if has_pytorch else None,
        },
        repetitions=1,
        targets={"PyTorch": Target(at_least=1 / 1.5)},
        unit="MB",
        warmup=0,
    )


def pictures() -> tuple[Array, Array]:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (PICTURES, SIDE, SIDE, 3), dtype=np.uint8)
    return x, rng.integers(0, 2, (PICTURES, 1)).astype(np.float32)


def minidl_epoch() -> Callable[[], object]:
    """Return what trains minidl's network for one epoch more."""
    trainer, (x, y) = convnet_training(), pictures()
    return lambda: trainer.fit(x, y, 1, BATCH, print_every=None, rng=0)


def convnet_training() -> Trainer:
    """Return a trainer of minidl's network."""
    layers: list[Module] = [Rescale()]
    for before, after in pairwise(CHANNELS):
        layers += [Conv2D(before, after, 3, padding="same", rng=0), BatchNorm(after), ReLU(), MaxPool2D()]
    model = Sequential(*layers, Flatten(), Dense(FEATURES, 1, rng=0))
    return Trainer(model, BinaryCrossEntropy(from_logits=True), Adam(model.parameters(), LEARNING_RATE))


def pytorch_epoch(memory_format: str = "contiguous_format") -> Callable[[], None]:
    """Return what trains PyTorch's network for one epoch more."""
    torch = peer("torch")
    x, y = pictures()
    inputs = torch.from_numpy(x).permute(0, 3, 1, 2).contiguous(memory_format=getattr(torch, memory_format))
    targets, train = torch.from_numpy(y), pytorch_training(memory_format)
    return lambda: train((inputs[rows], targets[rows]) for rows in torch.randperm(len(inputs)).split(BATCH))


def pytorch_training(memory_format: str = "contiguous_format") -> Callable[[Iterable[tuple[Any, Any]]], None]:
    """Return what trains PyTorch's network on batches (x, y), in its usual loop."""
    torch = peer("torch")
    nn = torch.nn
    order_in_memory = getattr(torch, memory_format)
    layers = []
    for before, after in pairwise(CHANNELS):
        layers += [nn.Conv2d(before, after, 3, padding="same"), nn.BatchNorm2d(after), nn.ReLU(), nn.MaxPool2d(2)]
    net = nn.Sequential(*layers, nn.Flatten(), nn.Linear(FEATURES, 1)).to(memory_format=order_in_memory)
    loss = nn.BCEWithLogitsLoss()
    optimizer = torch.optim.Adam(net.parameters(), lr=LEARNING_RATE)

    def train(batches: Iterable[tuple[Any, Any]]) -> None:
        total = 0.0
        for x, y in batches:
            optimizer.zero_grad()
            cost = loss(net(x.float().div_(255)), y)
            cost.backward()
            optimizer.step()
            total += cost.item() * len(x)

    return train


if __name__ == "__main__":
    show(measure())
