"""Optimizers and losses against PyTorch's in float64, where it is installed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from minidl import (
    SGD,
    Adagrad,
    Adam,
    AdamW,
    BatchNorm,
    BinaryCrossEntropy,
    Dense,
    Huber,
    Loss,
    MeanAbsoluteError,
    MeanSquaredError,
    Module,
    NAdam,
    Optimizer,
    Parameter,
    RMSProp,
    Sequential,
    SoftmaxCrossEntropy,
    Tanh,
    Trainer,
)
from minidl._typing import Array
from minidl.data import Batches
from minidl.schedules import warm_restarts

torch = pytest.importorskip("torch")

SHAPES: list[tuple[int, ...]] = [(5, 3), (5,), (2, 3, 3, 2)]
TOLERANCE = 1e-10
THEIR_NAMES = {
    "epsilon": "eps", "learning_rate_decay": "lr_decay", "initial_accumulator": "initial_accumulator_value",
}  # fmt: skip


@pytest.fixture(autouse=True)
def scalars_in_float64() -> Iterator[None]:
    """Let PyTorch keep in float64, too, what it remembers as single numbers: its NAdam has float32 otherwise."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


def as_tensor(array: Array) -> Any:
    return torch.tensor(array, requires_grad=array.dtype.kind == "f")


@pytest.mark.parametrize(
    ("ours", "theirs", "options"),
    [
        (SGD, "SGD", {}),
        (SGD, "SGD", {"weight_decay": 0.1}),
        (SGD, "SGD", {"momentum": 0.9}),
        (SGD, "SGD", {"momentum": 0.9, "weight_decay": 0.1}),
        (SGD, "SGD", {"momentum": 0.9, "nesterov": True}),
        (SGD, "SGD", {"momentum": 0.5, "nesterov": True, "weight_decay": 0.1}),
        (Adam, "Adam", {}),
        (Adam, "Adam", {"betas": (0.5, 0.9), "epsilon": 1e-3, "weight_decay": 0.1}),
        (Adam, "Adam", {"betas": (0.0, 0.0)}),
        (AdamW, "AdamW", {}),
        (AdamW, "AdamW", {"betas": (0.8, 0.99), "epsilon": 1e-5, "weight_decay": 0.3}),
        (RMSProp, "RMSprop", {}),
        (RMSProp, "RMSprop", {"alpha": 0.5, "epsilon": 1e-4, "weight_decay": 0.1}),
        (RMSProp, "RMSprop", {"momentum": 0.9, "weight_decay": 0.1}),
        (RMSProp, "RMSprop", {"alpha": 0.9, "epsilon": 1e-4, "centered": True}),
        (RMSProp, "RMSprop", {"alpha": 0.9, "epsilon": 1e-4, "centered": True, "momentum": 0.5}),
        (Adagrad, "Adagrad", {}),
        (Adagrad, "Adagrad", {"learning_rate_decay": 0.1, "initial_accumulator": 0.5, "weight_decay": 0.1}),
        (NAdam, "NAdam", {}),
        (NAdam, "NAdam", {"betas": (0.5, 0.9), "epsilon": 1e-3, "weight_decay": 0.1, "momentum_decay": 0.1}),
        (NAdam, "NAdam", {"betas": (0.0, 0.0), "momentum_decay": 0.0}),
    ],
)
def test_optimizer(ours: Callable[..., Optimizer], theirs: str, options: dict[str, Any]) -> None:
    rng = np.random.default_rng(0)
    start = [rng.normal(size=shape) for shape in SHAPES]
    parameters, tensors = [Parameter(s.copy()) for s in start], [as_tensor(s) for s in start]
    optimizer = ours(parameters, learning_rate=0.05, **options)
    renamed = {THEIR_NAMES.get(name, name): value for name, value in options.items()}
    reference = getattr(torch.optim, theirs)(tensors, lr=0.05, **renamed)
    for step in range(50):
        if step == 25:
            optimizer.learning_rate = 0.01
            reference.param_groups[0]["lr"] = 0.01
        for parameter, tensor in zip(parameters, tensors, strict=True):
            parameter.grad = rng.normal(scale=10.0 ** rng.integers(-4, 3), size=parameter.shape)
            tensor.grad = torch.tensor(parameter.grad)
        optimizer.step()
        reference.step()
        for parameter, tensor in zip(parameters, tensors, strict=True):
            np.testing.assert_allclose(parameter.data, tensor.detach().numpy(), rtol=TOLERANCE, atol=TOLERANCE)


@pytest.mark.parametrize(
    ("ours", "theirs", "options"),
    [
        (SGD, "SGD", {"momentum": 0.9, "weight_decay": 0.1}),
        (Adam, "Adam", {"weight_decay": 0.1}),
        (AdamW, "AdamW", {"weight_decay": 0.1}),
        (RMSProp, "RMSprop", {"weight_decay": 0.1}),
    ],
)
def test_groups(ours: Callable[..., Optimizer], theirs: str, options: dict[str, Any]) -> None:
    rng = np.random.default_rng(0)
    start = [rng.normal(size=shape) for shape in SHAPES]
    parameters, tensors = [Parameter(s.copy()) for s in start], [as_tensor(s) for s in start]
    factors = (1.0, 0.1, 2.0)
    optimizer = ours(
        [
            parameters[0],
            {"parameters": parameters[1:2], "weight_decay": 0.0, "learning_rate_factor": factors[1]},
            {"parameters": parameters[2:], "learning_rate_factor": factors[2]},
        ],
        learning_rate=0.05,
        **options,
    )
    groups = [
        {"params": tensors[:1]},
        {"params": tensors[1:2], "weight_decay": 0.0, "lr": 0.05 * factors[1]},
        {"params": tensors[2:], "lr": 0.05 * factors[2]},
    ]
    reference = getattr(torch.optim, theirs)(groups, lr=0.05, **options)
    schedule = torch.optim.lr_scheduler.ExponentialLR(reference, 0.9)
    for step in range(50):
        optimizer.learning_rate = 0.05 * 0.9**step
        for parameter, tensor in zip(parameters, tensors, strict=True):
            parameter.grad = rng.normal(size=parameter.shape)
            tensor.grad = torch.tensor(parameter.grad)
        optimizer.step()
        reference.step()
        schedule.step()
        for parameter, tensor in zip(parameters, tensors, strict=True):
            np.testing.assert_allclose(parameter.data, tensor.detach().numpy(), rtol=TOLERANCE, atol=TOLERANCE)


def test_accumulation() -> None:
    model = Sequential(Dense(3, 4, rng=0, dtype="float64"), Tanh(), Dense(4, 1, rng=1, dtype="float64"))
    network = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1))
    with torch.no_grad():
        for tensor, parameter in zip(network.parameters(), model.parameters(), strict=True):
            tensor.copy_(torch.tensor(parameter.data))
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(12, 3)), rng.normal(size=(12, 1))
    trainer = Trainer(model, MeanSquaredError(), SGD(model.parameters(), 0.1, momentum=0.9))
    trainer.fit(x, y, 25, batch_size=3, rng=7, accumulate=2, print_every=None)
    reference = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    order = Batches(x, y, 3, rng=7)
    for _ in range(25):
        for number, (a, b) in enumerate(order):
            (torch.nn.functional.mse_loss(network(torch.tensor(a)), torch.tensor(b)) / 2).backward()
            if number % 2:
                reference.step()
                reference.zero_grad()
    assert trainer.optimizer.steps == 50
    for tensor, parameter in zip(network.parameters(), model.parameters(), strict=True):
        np.testing.assert_allclose(parameter.data, tensor.detach().numpy(), rtol=TOLERANCE, atol=TOLERANCE)


def test_warm_restarts_are_those_of_pytorch() -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.5)
    theirs = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, T_0=3, T_mult=2, eta_min=0.01)
    ours = warm_restarts(0.5, 0.01, epochs=3, growth=2)
    for epoch in range(50):
        assert ours(epoch) == pytest.approx(theirs.get_last_lr()[0], rel=1e-10)
        optimizer.step()
        theirs.step()


def binary_targets(rng: np.random.Generator) -> Array:
    return rng.integers(2, size=(7, 3)).astype(np.float64)


def labels(rng: np.random.Generator) -> Array:
    return rng.integers(3, size=7)


def distributions(rng: np.random.Generator) -> Array:
    return rng.dirichlet(np.ones(3), size=7)


@pytest.mark.parametrize(
    ("ours", "theirs", "targets"),
    [
        (MeanSquaredError(), lambda z, t: torch.nn.functional.mse_loss(z, t), distributions),
        (MeanAbsoluteError(), lambda z, t: torch.nn.functional.l1_loss(z, t), distributions),
        (Huber(), lambda z, t: torch.nn.functional.huber_loss(z, t), distributions),
        (Huber(5.0), lambda z, t: torch.nn.functional.huber_loss(z, t, delta=5.0), distributions),
        (
            BinaryCrossEntropy(from_logits=True),
            lambda z, t: torch.nn.functional.binary_cross_entropy_with_logits(z, t),
            binary_targets,
        ),
        (
            BinaryCrossEntropy(from_logits=True, pos_weight=2.5),
            lambda z, t: torch.nn.functional.binary_cross_entropy_with_logits(z, t, pos_weight=torch.tensor(2.5)),
            distributions,
        ),
        (SoftmaxCrossEntropy(), lambda z, t: torch.nn.functional.cross_entropy(z, t), labels),
        (SoftmaxCrossEntropy(), lambda z, t: torch.nn.functional.cross_entropy(z, t), distributions),
        (SoftmaxCrossEntropy(0.2), lambda z, t: torch.nn.functional.cross_entropy(z, t, label_smoothing=0.2), labels),
        (
            SoftmaxCrossEntropy(0.2),
            lambda z, t: torch.nn.functional.cross_entropy(z, t, label_smoothing=0.2),
            distributions,
        ),
    ],
)
@pytest.mark.parametrize("scale", [0.1, 3.0, 100.0])
def test_loss_of_logits(
    ours: Loss, theirs: Callable[..., Any], targets: Callable[[np.random.Generator], Array], scale: float
) -> None:
    rng = np.random.default_rng(1)
    compare(ours, theirs, rng.normal(scale=scale, size=(7, 3)), targets(rng))


@pytest.mark.parametrize(
    ("ours", "theirs", "targets"),
    [
        (BinaryCrossEntropy(), lambda p, t: torch.nn.functional.binary_cross_entropy(p, t), binary_targets),
        (BinaryCrossEntropy(), lambda p, t: torch.nn.functional.binary_cross_entropy(p, t), distributions),
        (
            SoftmaxCrossEntropy(from_logits=False),
            lambda p, t: torch.nn.functional.nll_loss(torch.log(p), t),
            labels,
        ),
    ],
)
def test_loss_of_probabilities(
    ours: Loss, theirs: Callable[..., Any], targets: Callable[[np.random.Generator], Array]
) -> None:
    rng = np.random.default_rng(2)
    compare(ours, theirs, rng.dirichlet(np.ones(3), size=7), targets(rng))


def compare(ours: Loss, theirs: Callable[..., Any], prediction: Array, target: Array) -> None:
    tensor = as_tensor(prediction)
    reference = theirs(tensor, torch.tensor(target))
    reference.backward()
    assert ours(prediction, target) == pytest.approx(reference.item(), rel=TOLERANCE, abs=TOLERANCE)
    gradient = ours.gradient(prediction, ours.cast_target(target, prediction.dtype))
    np.testing.assert_allclose(gradient, tensor.grad.numpy(), rtol=TOLERANCE, atol=TOLERANCE)


def their_network() -> Any:
    nn, rows = torch.nn, []
    for before in (3, 4):  # no bias before a BatchNorm: its gradient would be rounding alone, which NAdam makes large
        rows += [nn.Linear(before, 4, bias=False), nn.BatchNorm1d(4), nn.Tanh()]
    return nn.Sequential(*rows, nn.Linear(4, 2)).double()


def own_network(theirs: Any) -> Sequential:
    rows: list[Module] = []
    for before in (3, 4):
        rows += [Dense(before, 4, bias=False, dtype="float64"), BatchNorm(4, dtype="float64"), Tanh()]
    model = Sequential(*rows, Dense(4, 2, dtype="float64"))
    state = {name: array.numpy() for name, array in theirs.state_dict().items() if "batches" not in name}
    model.load_state_dict({name.replace("running_var", "running_variance"): array for name, array in state.items()})
    return model


@pytest.mark.parametrize(
    ("ours", "theirs", "options"),
    [
        (SGD, "SGD", {"momentum": 0.9, "weight_decay": 0.1}),
        (Adam, "Adam", {"weight_decay": 0.1}),
        (NAdam, "NAdam", {}),
        (Adagrad, "Adagrad", {"learning_rate_decay": 0.1}),
    ],
)
@pytest.mark.parametrize("frozen", [[0, 1], [1, 3], [4, 6]])
def test_freezing(ours: Callable[..., Optimizer], theirs: str, options: dict[str, Any], frozen: list[int]) -> None:
    """`freeze` against requires_grad_(False) and BatchNorm.eval(), and that unfreezing goes on as PyTorch does."""
    torch.manual_seed(0)
    network = their_network()
    rng = np.random.default_rng(0)
    network(torch.tensor(rng.normal(size=(12, 3))))  # statistics other than those to begin with
    model = own_network(network)
    optimizer = ours(model.parameters(), learning_rate=0.05, **options)
    renamed = {THEIR_NAMES.get(name, name): value for name, value in options.items()}
    reference = getattr(torch.optim, theirs)(network.parameters(), lr=0.05, **renamed)
    loss = MeanSquaredError()
    for step in range(30):
        if step in (0, 10, 20):
            for i in frozen:
                model[i].unfreeze() if step == 10 else model[i].freeze()
                network[i].requires_grad_(step == 10).train(step == 10)
            reference.zero_grad()
        x, y = rng.normal(size=(12, 3)), rng.normal(size=(12, 2))
        model.backward(loss.gradient(model(x), y))
        optimizer.step()
        reference.zero_grad()
        ((network(torch.tensor(x)) - torch.tensor(y)) ** 2).mean().backward()
        reference.step()
    for name, array in own_network(network).state_dict().items():
        np.testing.assert_allclose(model.state_dict()[name], array, rtol=TOLERANCE, atol=TOLERANCE)
