"""Weights as PyTorch has them: training with both for fifty steps ends in the same numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minidl import SGD, BinaryCrossEntropy, Dense, Loss, ReLU, Sequential, SoftmaxCrossEntropy, Trainer
from minidl._typing import Array

torch = pytest.importorskip("torch")

RNG = np.random.default_rng(0)
X, CLASSES = RNG.normal(size=(20, 5)), RNG.integers(0, 3, 20)
SOME_IGNORED = np.where(np.arange(20) % 4 == 0, -100, CLASSES)
YES_OR_NO = RNG.random((20, 3)).round()
WEIGHTS = {0: 0.5, 1: 2.0, 2: 1.25}


def weight_of(target: Any) -> Any:
    return torch.tensor([0.5, 2.0, 1.25], dtype=torch.float64)[target]


@pytest.mark.parametrize(
    ("loss", "y", "options", "theirs"),
    [
        (SoftmaxCrossEntropy(), CLASSES, {"class_weight": WEIGHTS},
         lambda: torch.nn.CrossEntropyLoss(weight=torch.tensor([*WEIGHTS.values()], dtype=torch.float64))),
        (SoftmaxCrossEntropy(ignore_index=-100), SOME_IGNORED, {"class_weight": WEIGHTS},
         lambda: torch.nn.CrossEntropyLoss(weight=torch.tensor([*WEIGHTS.values()], dtype=torch.float64))),
        (SoftmaxCrossEntropy(ignore_index=-100), SOME_IGNORED, {}, lambda: torch.nn.CrossEntropyLoss()),
        (BinaryCrossEntropy(from_logits=True, pos_weight=[2.0, 0.5, 1.5]), YES_OR_NO, {},
         lambda: torch.nn.BCEWithLogitsLoss(pos_weight=torch.tensor([2.0, 0.5, 1.5], dtype=torch.float64))),
    ],
)  # fmt: skip
def test_fifty_steps(loss: Loss, y: Array, options: dict[str, Any], theirs: Any) -> None:
    layers = Dense(5, 4, rng=0, dtype=np.float64), Dense(4, 3, rng=1, dtype=np.float64)
    model = Sequential(layers[0], ReLU(), layers[1])
    weights = [torch.tensor(parameter.data, requires_grad=True) for parameter in model.parameters()]
    optimizer, criterion, losses = torch.optim.SGD(weights, lr=0.1, momentum=0.9), theirs(), []
    x, target = torch.tensor(X), torch.tensor(y)
    for _ in range(50):
        optimizer.zero_grad()
        hidden = torch.relu(x @ weights[0].T + weights[1])
        cost = criterion(hidden @ weights[2].T + weights[3], target)
        cost.backward()
        optimizer.step()
        losses.append(cost.item())
    trainer = Trainer(model, loss, SGD(model.parameters(), 0.1, momentum=0.9))
    history = trainer.fit(X, y, 50, print_every=None, **options)
    np.testing.assert_allclose(history["loss"], losses, rtol=1e-10)
    for parameter, weight in zip(model.parameters(), weights, strict=True):
        np.testing.assert_allclose(parameter.data, weight.detach().numpy(), rtol=1e-10, atol=1e-10)
