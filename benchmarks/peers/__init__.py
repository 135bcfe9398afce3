"""The sides of jobs that several claims share: the same network with the same weights, trained the usual way of each.

    pip install torch scikit-learn jax keras tinygrad    # those to compare with; tinygrad needs clang, too

Each side builds its network, trains for an epoch and predicts through the one interface of `peer.Peer`;
`tests/test_benchmark_peers.py` holds all that are installed to the same loss and weights after an epoch.
"""

from __future__ import annotations

from functools import partial

from benchmarks.comparison import Measurement, timed
from benchmarks.peers.jax import Jax, JaxScan
from benchmarks.peers.keras import Keras
from benchmarks.peers.minidl import Minidl
from benchmarks.peers.peer import Job, Peer
from benchmarks.peers.pytorch import PyTorch, PyTorchInOrder
from benchmarks.peers.scikit_learn import ScikitLearn
from benchmarks.peers.tinygrad import Tinygrad

PEERS: dict[str, type[Peer]] = {
    "PyTorch": PyTorch,
    "JAX": Jax,
    "Keras on JAX": Keras,
    "tinygrad": Tinygrad,
    "scikit-learn": ScikitLearn,
}
# Other ways through mini-batches; with the full batch they are the same.
WAYS: dict[str, type[Peer]] = {"PyTorch, rows in order": PyTorchInOrder, "JAX, epoch in one scan": JaxScan}

__all__ = ["PEERS", "Job", "Minidl", "Peer", "peers_for", "step_times", "time_of_step"]


def peers_for(batch_size: int | None) -> dict[str, type[Peer]]:
    """Return all peers by their names, for mini-batches each way of theirs."""
    return PEERS if batch_size is None else {**PEERS, **WAYS}


def step_times(job: Job, epochs: int) -> dict[str, Measurement | None]:
    """Return what measures a step of each peer, by its name, in so many epochs; None for one that is not installed."""
    return {
        name: time_of_step(kind(job), epochs) if kind.is_installed() else None
        for name, kind in peers_for(job.batch_size).items()
    }


def time_of_step(side: Peer, epochs: int) -> Measurement:
    """Return what trains for so many epochs more and measures the seconds of a step."""
    epochs = min(epochs, side.most_epochs)
    return timed(partial(side.train, epochs), per=epochs * side.job.steps)
