"""The peers' side of jobs that several claims share: the same network with the same weights, trained the usual way."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from benchmarks.machine import peer
from minidl import Dense, Sequential
from minidl._typing import Array


def like(model: Sequential) -> Any:
    """Return the PyTorch network of the Dense layers of an `mlp`, with ReLU between them and logits at the end."""
    torch = peer("torch")
    layers: list[Any] = []
    for dense in (layer for layer in model if isinstance(layer, Dense)):
        linear = torch.nn.Linear(dense.in_features, dense.out_features)
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(dense.weight.data))
            linear.bias.zero_()
        layers += [linear, torch.nn.ReLU()]
    return torch.nn.Sequential(*layers[:-1])


def training(
    model: Sequential, x: Array, y: Array, learning_rate: float, batch_size: int, epochs: int, *, bare: bool = False
) -> Callable[[], None] | None:
    """Return a run of PyTorch's usual loop, None where it is not installed.

    Each step takes a batch of shuffled rows, as Trainer does, and adds up the loss for the record; `bare` leaves both
    out and goes over slices in order.
    """
    torch = peer("torch")
    if torch is None:
        return None
    net = like(model)
    loss = torch.nn.BCEWithLogitsLoss()
    optimizer = torch.optim.SGD(net.parameters(), lr=learning_rate)
    inputs, targets = torch.from_numpy(x), torch.from_numpy(y)

    def run() -> None:
        for _ in range(epochs):
            order = torch.randperm(len(inputs))
            total = 0.0
            for start in range(0, len(inputs), batch_size):
                rows = slice(start, start + batch_size) if bare else order[start : start + batch_size]
                batch = inputs[rows]
                optimizer.zero_grad()
                cost = loss(net(batch), targets[rows])
                cost.backward()
                optimizer.step()
                if not bare:
                    total += cost.item() * len(batch)

    return run


def scikit_learn_training(
    dims: list[int], x: Array, y: Array, learning_rate: float, batch_size: int, epochs: int
) -> Callable[[], None] | None:
    """Return a run of scikit-learn's MLPClassifier on the same job, None where it is not installed."""
    if peer("sklearn") is None:
        return None
    settings = {
        "hidden_layer_sizes": dims[1:-1],
        "solver": "sgd",
        "momentum": 0.0,
        "alpha": 0.0,
        "learning_rate_init": learning_rate,
        "batch_size": batch_size,
        "max_iter": epochs,
        "n_iter_no_change": epochs + 1,
    }
    classifier = peer("sklearn.neural_network").MLPClassifier(**settings)

    def run() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns at the end of the epochs that were asked for
            classifier.fit(x, y.ravel())

    return run
