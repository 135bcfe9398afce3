"""The sides of jobs that several claims share: the same network with the same weights, trained the usual way of each.

    pip install torch scikit-learn jax keras tinygrad    # those to compare with; tinygrad needs clang, too

Each side builds its network, trains for an epoch and predicts through the one interface of `peer.Peer`;
`tests/test_benchmark_peers.py` holds all that are installed to the same loss and weights after an epoch.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from benchmarks.peers.jax import Jax, JaxScan
from benchmarks.peers.keras import Keras
from benchmarks.peers.minidl import Minidl
from benchmarks.peers.peer import Job, Peer
from benchmarks.peers.pytorch import PyTorch, PyTorchInOrder, like
from benchmarks.peers.scikit_learn import ScikitLearn
from benchmarks.peers.tinygrad import Tinygrad

PEERS: dict[str, type[Peer]] = {
    "PyTorch": PyTorch,
    "PyTorch, rows in order": PyTorchInOrder,
    "JAX": Jax,
    "JAX, epoch in one scan": JaxScan,
    "Keras on JAX": Keras,
    "tinygrad": Tinygrad,
    "scikit-learn": ScikitLearn,
}

__all__ = ["PEERS", "Job", "Minidl", "Peer", "like", "training"]


def training(job: Job, epochs: int) -> dict[str, Callable[[], None] | None]:
    """Return what trains for so many epochs more, for each peer by its name; None for one that is not installed."""
    return {name: partial(kind(job).train, epochs) if kind.is_installed() else None for name, kind in PEERS.items()}
