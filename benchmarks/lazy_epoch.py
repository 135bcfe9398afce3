"""An epoch over photographs that stay in their files, and the same epoch from memory.

    python -m benchmarks.lazy_epoch [FOLDER]

FOLDER holds a folder for each of two classes; without it 1,652 JPEGs of 200 x 150 pixels are drawn. The network is that
of `benchmarks.convnet`, in shuffled batches of 32 at 64 x 64 pixels. The first epoch is not timed: minidl decodes in it
what it then keeps, and beside that is an epoch without this cache. PyTorch reads the files in its DataLoader, with
none, one or two workers, which start anew in each epoch as they do by default.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.comparison import Comparison, Measurement, Target, compare, timed
from benchmarks.convnet import BATCH, SIDE, convnet_training, pytorch_training
from benchmarks.loading import draw
from benchmarks.machine import peer
from benchmarks.report import show
from minidl._typing import Array
from minidl.data import load_image_folders, open_image_folders

PICTURES, SIZE = 1652, (200, 150)


def measure(folders: Sequence[str] = ()) -> Iterable[Comparison]:
    if folders:
        yield lazy_epoch(Path(folders[0]))
        return
    with tempfile.TemporaryDirectory() as name:
        draw(Path(name), PICTURES, SIZE)
        yield lazy_epoch(Path(name))


def lazy_epoch(folder: Path, repetitions: int = 5) -> Comparison:
    lazy, whole = open_image_folders(folder, SIDE), load_image_folders(folder, SIDE)
    uncached = open_image_folders(folder, SIDE, cache_bytes=0)
    has_pytorch = peer("torch") is not None
    rivals: dict[str, Measurement | None] = {
        "minidl": timed(minidl_epoch(lazy.images, lazy.labels)),
        "minidl, without its cache": timed(minidl_epoch(uncached.images, uncached.labels)),
        "minidl, from memory": timed(minidl_epoch(whole.images, whole.labels)),
    }
    for workers in range(3):
        name = f"PyTorch, DataLoader, {workers} workers"
        rivals[name] = timed(pytorch_epoch(lazy.paths, lazy.labels, workers)) if has_pytorch else None
    return compare(
        f"an epoch of {len(lazy)} photographs in files at {SIDE} x {SIDE}",
        rivals,
        repetitions,
        targets={
            "minidl, from memory": Target(at_least=1 / 1.1),
            **{name: Target(at_least=1.0) for name in rivals if name.startswith("PyTorch")},
        },
    )


def minidl_epoch(x: Any, y: Array) -> Callable[[], object]:
    """Return what trains minidl's network for one epoch more."""
    trainer = convnet_training()
    return lambda: trainer.fit(x, y, 1, BATCH, print_every=None, rng=0)


class Files:
    """Pictures and labels as PyTorch's DataLoader asks for them."""

    def __init__(self, paths: Sequence[os.PathLike[str]], labels: Array) -> None:
        self.paths, self.labels = paths, labels.astype(np.float32)[:, None]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, row: int) -> tuple[Array, Array]:
        with Image.open(self.paths[row]) as picture:
            small = picture.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        return np.asarray(small).transpose(2, 0, 1).copy(), self.labels[row]


def pytorch_epoch(paths: Sequence[os.PathLike[str]], labels: Array, workers: int) -> Callable[[], None]:
    """Return what trains PyTorch's network for one epoch more, over the files."""
    loader = peer("torch.utils.data").DataLoader(Files(paths, labels), BATCH, shuffle=True, num_workers=workers)
    train = pytorch_training()
    return lambda: train(loader)


if __name__ == "__main__":
    show(measure(sys.argv[1:]))
