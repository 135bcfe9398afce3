"""PyTorch: its usual loop."""

from __future__ import annotations

from typing import Any, ClassVar

from benchmarks.machine import peer
from benchmarks.peers.peer import Job, Peer, weights_of
from minidl import Sequential
from minidl._typing import Array


def like(model: Sequential) -> Any:
    """Return the PyTorch network of the Dense layers of an `mlp`, with ReLU between them and logits at the end."""
    torch = peer("torch")
    layers: list[Any] = []
    for weight, bias in weights_of(model):
        linear = torch.nn.Linear(*reversed(weight.shape))
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(weight))
            linear.bias.copy_(torch.from_numpy(bias))
        layers += [linear, torch.nn.ReLU()]
    return torch.nn.Sequential(*layers[:-1])


class PyTorch(Peer):
    """Modules, autograd and an optimizer, the cost read in each step for the record."""

    requires: ClassVar[tuple[str, ...]] = ("torch",)

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        self.torch = torch = peer("torch")
        self.net = like(job.model)
        self.loss = torch.nn.BCEWithLogitsLoss()
        self.optimizer = torch.optim.SGD(self.net.parameters(), lr=job.learning_rate)
        self.x, self.y = torch.from_numpy(job.x), torch.from_numpy(job.y)

    def epoch(self, order: Array | None) -> float:
        """Train on the rows that a tensor names, or on slices."""
        total = 0.0
        for rows in self.job.rows(None if order is None else self.torch.from_numpy(order)):
            batch = self.x[rows]
            self.optimizer.zero_grad()
            cost = self.loss(self.net(batch), self.y[rows])
            cost.backward()
            self.optimizer.step()
            total += cost.item() * len(batch)
        return total / len(self.x)

    def predict(self, x: Array) -> Array:
        """Return the probabilities without a graph."""
        with self.torch.inference_mode():
            return self.net(self.torch.from_numpy(x)).sigmoid().numpy()  # type: ignore[no-any-return]


class PyTorchInOrder(PyTorch):
    """The same without the cost of shuffling: each epoch goes over slices."""

    def train(self, epochs: int) -> None:
        """Train for so many epochs more, in order."""
        for _ in range(epochs):
            self.epoch(None)
