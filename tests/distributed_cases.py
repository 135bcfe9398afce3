"""What is trained on several processes and on one, to be compared; `python -m distributed_cases FOLDER` is a process.

Each case is a function of a trainer's class and of what shares a set; run on one process, it is the reference.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minidl import (
    SGD,
    Adam,
    BatchNorm,
    BestModel,
    BinaryCrossEntropy,
    Callback,
    Checkpoint,
    Conv2D,
    Dense,
    Dropout,
    EarlyStopping,
    Flatten,
    History,
    Module,
    ReduceOnPlateau,
    ReLU,
    Rescale,
    Run,
    Sequential,
    SoftmaxCrossEntropy,
    Trainer,
    mlp,
)
from minidl._typing import Array
from minidl.distributed import DistributedTrainer, Group
from minidl.errors import LayerInputError, NonFiniteError
from minidl.metrics import F1, RocAuc
from minidl.training.problem import Problem

SAMPLES = 37
Share = Callable[[Any], Any]
Found = dict[str, Any]
F64 = np.float64


def drawn(n: int = SAMPLES, features: int = 6, classes: int = 2) -> tuple[Array, Array]:
    """Return samples and class numbers, in the order of their classes, as folders give them."""
    rng = np.random.default_rng(5)
    y = np.sort(rng.integers(0, classes, n))
    return rng.normal(size=(n, features)) + y[:, None], y


def found(trainer: Trainer, history: Mapping[str, list[float]]) -> Found:
    """Return the weights and the history of a run."""
    weights = {f"weight {name}": array for name, array in trainer.model.state_dict().items()}
    moments = {f"moment {name}": np.asarray(value) for name, value in trainer.optimizer.state_dict().items()}
    columns = {f"history {name}": np.array(column) for name, column in history.items() if name != "seconds"}
    return {**weights, **moments, **columns}


def network(*sizes: int, norm: bool = False) -> Sequential:
    model = mlp(list(sizes), rng=1, dtype=F64)
    # A bias before BatchNorm has a gradient of 0 but for rounding, of which Adam makes steps of its usual length.
    first = Dense(*sizes[:2], bias=False, rng=1, dtype=F64)
    return Sequential(first, BatchNorm(sizes[1], dtype=F64), *model[1:]) if norm else model


def sequences(make: type[Trainer], share: Share, folder: Path) -> Found:
    """BatchNorm before targets most of which do not count: here and there none of those that a process has."""
    rng = np.random.default_rng(6)
    x, y = share(rng.normal(size=(SAMPLES, 3, 4))), rng.integers(1, 3, (SAMPLES, 3))
    y = share(np.where(rng.random(y.shape) < 0.8, 0, y))
    first = [Dense(4, 5, bias=False, rng=1, dtype=F64), BatchNorm(5, dtype=F64), ReLU()]
    model = Sequential(*first, Dense(5, 3, rng=2, dtype=F64))
    trainer = make(model, SoftmaxCrossEntropy(ignore_index=0), SGD(model.parameters(), 0.3))
    return found(trainer, trainer.fit(x, y, epochs=3, batch_size=5, rng=2, print_every=None))


def own_step(make: type[Trainer], share: Share, folder: Path) -> Found:
    """A training step of a user's own, with a penalty on the first weight, and a number of its own."""

    def train_step(self: Trainer, problem: Problem, x: Array, y: Array) -> dict[str, Any]:
        output = problem.model(x)
        cost = problem.cost(output, y)
        problem.model.backward(problem.loss.gradient(output, y))
        weight = self.model.parameters()[0]
        assert weight.grad is not None
        weight.grad = weight.grad + 0.1 * weight.data
        problem.optimizer.step()
        record = problem.measured(cost, output, y)
        return {**record, "loss": record["loss"] + 1, "mean": float(y[y > 0].mean()) if y.any() else 0.0}

    x, y = map(share, drawn(classes=3))  # in the order of their classes: of some processes no target counts
    model = Sequential(*network(6, 5, 3)[:-1])
    kind: type[Trainer] = type("OwnTrainer", (make,), {"train_step": train_step})
    trainer = kind(model, SoftmaxCrossEntropy(ignore_index=0), SGD(model.parameters(), 0.5))
    return found(trainer, trainer.fit(x, y, epochs=2, batch_size=6, rng=1, print_every=None))


class TwoInputs(Module):
    """A network of two inputs, whose losses may be left out."""

    takes_tuples = True

    def __init__(self) -> None:
        self.left, self.right = Dense(4, 3, rng=1, dtype=F64), Dense(2, 3, rng=2, dtype=F64)

    def forward(self, x: Any) -> Array:
        return np.asarray(self.left(x[0]) + self.right(x[1]))

    def backward(self, grad_output: Array) -> Array:
        self.right.backward(grad_output)
        return np.asarray(self.left.backward(grad_output))


def full_batch(make: type[Trainer], share: Share, folder: Path) -> Found:
    """Two inputs of each sample, and targets of which some do not count."""
    x, y = drawn(classes=3)
    model = TwoInputs()
    trainer = make(model, SoftmaxCrossEntropy(ignore_index=1), SGD(model.parameters(), 0.5, momentum=0.9))
    inputs = share(x[:, :4]), share(x[:, 4:])
    return found(trainer, trainer.fit(inputs, share(y), epochs=6, print_every=None, validation_split=0.2, rng=1))


def small_batches(make: type[Trainer], share: Share, folder: Path) -> Found:
    """Batches so small that a process has no sample of some; weights of samples and classes, clipping, validation."""
    x, y = map(share, drawn(classes=3))
    weight = share(np.random.default_rng(8).uniform(0, 2, SAMPLES))
    model = Sequential(*mlp([6, 5, 3], rng=1, dtype=F64)[:-1])
    optimizer = Adam(model.parameters(), 0.05, weight_decay=0.01, max_gradient_norm=0.3)
    trainer = make(model, SoftmaxCrossEntropy(label_smoothing=0.1), optimizer)
    x_val, y_val = map(share, drawn(n=11, classes=3))
    history = trainer.fit(
        x, y, epochs=3, batch_size=3, rng=4, sample_weight=weight, class_weight="balanced", print_every=None,
        validation_data=(x_val, y_val, share(np.arange(11.0))),
    )  # fmt: skip
    evaluated = trainer.evaluate(x, y, batch_size=4, sample_weight=weight)
    return {**found(trainer, history), **{f"evaluated {name}": value for name, value in evaluated.items()}}


def normalized(make: type[Trainer], share: Share, folder: Path) -> Found:
    """BatchNorm, metrics of whole sets, a validation part held out, accumulation, a last batch left out."""
    x, y = map(share, drawn())
    model = network(6, 5, 1, norm=True)
    trainer = make(model, BinaryCrossEntropy(), Adam(model.parameters(), 0.05), {"f1": F1(), "auc": RocAuc()})
    history = trainer.fit(
        x, y, epochs=4, batch_size=5, rng=4, validation_split=0.2, accumulate=2, drop_last=True, print_every=None,
        callbacks=[EarlyStopping(patience=2), ReduceOnPlateau(patience=1)],
    )  # fmt: skip
    return found(trainer, history)


def pictures(make: type[Trainer], share: Share, folder: Path) -> Found:
    """Convolutions and BatchNorm on bytes in a file, with batches of which a process has none."""
    rng = np.random.default_rng(3)
    y = share(rng.integers(0, 2, SAMPLES))
    x = share(np.load(folder / "pixels.npy", mmap_mode="r"))
    layers = [Rescale(dtype=F64), Conv2D(3, 4, 3, rng=1, dtype=F64), BatchNorm(4, dtype=F64), ReLU(), Flatten()]
    model = Sequential(*layers, Dense(64, 1, rng=2, dtype=F64))
    trainer = make(
        model, BinaryCrossEntropy(from_logits=True), SGD(model.parameters(), 0.1, nesterov=True, momentum=0.5)
    )
    return found(trainer, trainer.fit(x, y, epochs=2, batch_size=4, rng=0, print_every=None))


def dual_form(make: type[Trainer], share: Share, folder: Path, batch_size: int | None = None) -> Found:
    """The dual form, with checkpoints, which begin C anew, and pixels to validate on."""
    rng = np.random.default_rng(3)
    x, y = share(rng.integers(0, 256, (SAMPLES, 8, 8, 3), np.uint8)), share(rng.integers(0, 2, SAMPLES))
    model = Sequential(Rescale(dtype=F64), Flatten(), *network(192, 5, 1))
    trainer = make(model, BinaryCrossEntropy(), SGD(model.parameters(), 0.05, momentum=0.9, weight_decay=0.01))
    callbacks = [Checkpoint(folder / "dual.npz", every=2)]
    history = trainer.fit(
        x, y, 5, batch_size, rng=2, dual=True, validation_data=(x, y), callbacks=callbacks, print_every=None
    )
    assert trainer.run is not None
    assert trainer.run.problem is trainer.run.written
    return found(trainer, history)


def dual_split(make: type[Trainer], share: Share, folder: Path) -> Found:
    """The dual form with so few samples to validate on that some processes have none."""
    x, y = map(share, drawn(features=40))
    model = network(40, 5, 1)
    trainer = make(model, BinaryCrossEntropy(), SGD(model.parameters(), 0.05))
    return found(trainer, trainer.fit(x, y, 3, dual=True, validation_split=0.05, rng=1, print_every=None))


def dual_batches(make: type[Trainer], share: Share, folder: Path) -> Found:
    return dual_form(make, share, folder, batch_size=5)


def resumed(make: type[Trainer], share: Share, folder: Path) -> Found:
    """The second half of a run, whose first half was one process's."""
    x, y = map(share, drawn())
    model = network(6, 5, 1, norm=True)
    trainer = make(model, BinaryCrossEntropy(), Adam(model.parameters(), 0.05))
    trainer.resume(folder / "half.npz")
    return found(trainer, fit_with_checkpoints(trainer, x, y, 4, folder, "whole.npz"))


def fit_with_checkpoints(trainer: Trainer, x: Array, y: Array, epochs: int, folder: Path, name: str) -> History:
    """Train with callbacks that write files."""
    callbacks = [BestModel(folder / "best.npz", monitor="loss"), Checkpoint(folder / name)]
    return trainer.fit(x, y, epochs=epochs, batch_size=8, rng=4, print_every=None, callbacks=callbacks)


CASES: tuple[Callable[[type[Trainer], Share, Path], Found], ...] = (
    full_batch, own_step, sequences, small_batches, normalized, pictures, dual_form, dual_split, dual_batches,
    resumed,
)  # fmt: skip


def write_references(folder: Path) -> None:
    """Train every case on one process, by the plain Trainer."""
    pixels = np.random.default_rng(3).integers(0, 256, (SAMPLES, 6, 6, 3), np.uint8)
    np.save(folder / "pixels.npy", pixels)
    x, y = drawn()
    model = network(6, 5, 1, norm=True)
    half = Trainer(model, BinaryCrossEntropy(), Adam(model.parameters(), 0.05))
    fit_with_checkpoints(half, x, y, 2, folder, "half.npz")
    for case in CASES:
        np.savez(folder / f"one {case.__name__}", **case(Trainer, lambda all_rows: all_rows, folder))


def check_that_bits_repeat(group: Group, folder: Path) -> None:
    """Check that a run with Dropout and augmentation, broken off and resumed, ends in the bits of a whole one."""
    x, y = map(uneven_share(group), drawn())

    def weights(*epochs: int) -> list[Array]:
        for count in epochs:
            model = Sequential(Dense(6, 5, rng=1), Dropout(0.5, rng=2), ReLU(), Dense(5, 1, rng=3))
            noise = Noise(np.random.default_rng(7 + group.rank))
            trainer = DistributedTrainer(model, BinaryCrossEntropy(from_logits=True), Adam(model.parameters(), 0.05))
            if count > min(epochs):
                trainer.resume(folder / "bits.npz")
            callbacks = [Checkpoint(folder / "bits.npz")]
            trainer.fit(x, y, count, 8, rng=group.rank, augment=noise, callbacks=callbacks, print_every=None)
        return [parameter.data for parameter in model.parameters()]

    once, resumed_later = weights(4), weights(2, 4)
    assert all(map(np.array_equal, once, resumed_later))
    assert len(set(group.allgather(float(np.sum(once[0]))))) == 1


class Noise:
    """An augmentation that draws from a generator of its own."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng

    def __call__(self, x: Array) -> Array:
        return np.asarray(x + self.rng.normal(size=x.shape).astype(x.dtype))


class Pushing(Callback):
    """Changes the weights on one process alone."""

    on_one_process = True

    def on_epoch_end(self, run: Run, epoch: int, metrics: Mapping[str, float]) -> None:
        run.model.parameters()[0].data[0, 0] += 1


class Freezing(Callback):
    """Freezes a layer on one process alone."""

    on_one_process = True

    def on_epoch_end(self, run: Run, epoch: int, metrics: Mapping[str, float]) -> None:
        run.model.freeze()


class Pressing(Callback):
    """Presses Ctrl-C on one process, in the middle of its third epoch, and counts the epochs."""

    def __init__(self, here: bool) -> None:
        self.here, self.epochs, self.began = here, 0, False

    def on_fit_begin(self, run: Run) -> None:
        self.began = True

    def on_batch_end(self, run: Run, batch: int, record: Mapping[str, Any]) -> None:
        if self.here and run.epoch == 2 and batch == 1:
            os.kill(os.getpid(), signal.SIGINT)

    def on_epoch_end(self, run: Run, epoch: int, metrics: Mapping[str, float]) -> None:
        self.epochs += 1


class PressingLate(Pressing):
    """Presses Ctrl-C on one process when the last epoch is over."""

    def on_fit_end(self, run: Run) -> None:
        if self.here:
            os.kill(os.getpid(), signal.SIGINT)


class Looking(Pressing):
    """A callback that is called on one process alone."""

    on_one_process = True


def check_what_happens_to_all(group: Group, folder: Path) -> None:
    """Check, on each process, what ends a run of all of them alike."""
    share, last = uneven_share(group), group.size - 1
    x, y = map(share, drawn())
    model = network(6, 5, 1)
    trainer = DistributedTrainer(model, BinaryCrossEntropy(), SGD(model.parameters(), 0.5))

    def message(of: type[Exception], by: Trainer = trainer, **options: Any) -> str:
        try:
            by.fit(**{"x": x, "y": y, "epochs": 2, "print_every": None, **options})
        except of as error:
            return str(error)
        raise AssertionError(f"expected {of.__name__}")

    others = ValueError if group.rank == last else RuntimeError
    missing = FileNotFoundError if group.is_root else RuntimeError
    mistake: type[Exception] = TypeError if group.rank == last else RuntimeError
    assert "callbacks" in message(mistake, callbacks=3 if group.rank == last else None)
    if group.size > 1:  # also what decides when they tell each other something
        for name, value, other in (("epochs", 2, 3), ("accumulate", 1, 0), ("dual", False, True)):
            differing: dict[str, Any] = {name: other if group.rank == last else value}
            assert message(ValueError, **differing).startswith(f"{name}: expected")
        np.save(folder / f"x {group.rank}.npy", x)
        mapped = np.load(folder / f"x {group.rank}.npy", mmap_mode="r") if group.rank == last else x
        assert message(ValueError, x=mapped, batch_size=4).startswith("whether x is in memory: expected")
        checkpoints = [Checkpoint(folder / "one.npz")] if group.is_root else []
        assert message(ValueError, callbacks=checkpoints).startswith("callbacks that are not on_one_process: expected")
    with group.ending_together(), pytest.raises(ValueError, match="batch_size"):
        trainer.evaluate(x, y, batch_size=0)
    with group.ending_together(), pytest.raises(ValueError, match="sample_weight"):
        trainer.evaluate(x, y, sample_weight=np.zeros(len(x)))
    assert message(ValueError, dual=True).startswith("dual=True")
    assert "there is no folder" in message(missing, callbacks=[BestModel("missing/best.npz", "loss")])
    narrow = x[:, :5] if group.rank == last else x
    assert "expected" in message(LayerInputError if group.rank == last else RuntimeError, x=narrow)
    broken = np.where(np.arange(len(x))[:, None] == 1, np.nan, x) if group.rank == last else x
    expected = "x: expected" if group.rank == last else f"process {last} of {group.size}: ValueError: x: expected"
    assert message(others, x=broken).startswith(expected)
    if group.size > 1:
        assert message(ValueError, batch_size=2 + group.rank).startswith("batch_size: expected")
    before = model.state_dict()
    huge = 1e200 * x if group.rank == last else x
    assert "epoch" in message(NonFiniteError, x=huge, epochs=5)  # of the last process's output alone
    assert trainer.epoch < 5
    model.load_state_dict(before)
    if group.size > 1:  # where the statistics of all are not finite, the samples of most are
        norm = network(6, 5, 1, norm=True)
        normalizing = DistributedTrainer(norm, BinaryCrossEntropy(), SGD(norm.parameters(), 0.5))
        assert "epoch 0" in message(NonFiniteError, by=normalizing, x=huge)
    trainer.optimizer.learning_rate = 1e300
    assert "epoch 0" in message(NonFiniteError, batch_size=8)
    assert all(np.array_equal(before[name], array) for name, array in model.state_dict().items())
    trainer.optimizer.learning_rate = 0.5
    if group.size > 1:
        assert "weights differ" in message(RuntimeError, callbacks=[Freezing()])
        model.unfreeze()
        model.load_state_dict(group.broadcast(model.state_dict()))
        assert "weights differ" in message(RuntimeError, callbacks=[Pushing()])
        model.load_state_dict(group.broadcast(model.state_dict()))
    pressing, looking = Pressing(here=group.rank == last), Looking(here=False)
    history = trainer.fit(x, y, 9, 8, print_every=None, rng=group.rank, callbacks=[pressing, looking])
    assert (history.interrupted, history.epochs, pressing.epochs) == (True, 2, 2)
    assert (looking.epochs, looking.began) == ((2, True) if group.is_root else (0, False))
    late = trainer.fit(x, y, 1, 8, print_every=None, rng=0, callbacks=[PressingLate(here=group.rank == last)])
    assert (late.interrupted, late.epochs) == (True, 1)
    weights = [float(array.sum()) for array in model.state_dict().values()]
    assert group.allgather(weights) == [weights] * group.size


def uneven_share(group: Group) -> Share:
    """Return what takes the share of a process: of the samples, process r has some r + 1 parts."""

    def bound(n: int, rank: int) -> int:
        return int(n * rank * (rank + 1) / (group.size * (group.size + 1)))

    return lambda rows: rows[bound(len(rows), group.rank) : bound(len(rows), group.rank + 1)]


def main(folder: Path) -> None:
    """Train every case on all processes, and check that one process fails for all."""
    group = Group()
    for case in CASES:
        results = case(DistributedTrainer, uneven_share(group), folder)
        if group.is_root:
            np.savez(folder / f"{group.size} {case.__name__}", **results)
    check_what_happens_to_all(group, folder)
    check_that_bits_repeat(group, folder)
    print(f"process {group.rank} is done\n", end="", flush=True)  # in one piece, as others print, too


def fail(how: str) -> None:
    """Fail on one process, in the middle of an epoch in which the others wait for it."""
    group = Group()

    class Failing(Callback):
        def on_batch_end(self, run: Run, batch: int, record: Mapping[str, Any]) -> None:
            if group.rank == 1 and batch == 1:
                raise {"fail": LookupError("the disk of this process is gone"), "exit": SystemExit(0)}[how]

    x, y = map(uneven_share(group), drawn())
    model = network(6, 5, 1)
    trainer = DistributedTrainer(model, BinaryCrossEntropy(), SGD(model.parameters(), 0.5))
    trainer.fit(x, y, 5, 8, rng=0, callbacks=[Failing()])
    print("trained", flush=True)


if __name__ == "__main__":
    fail(sys.argv[1]) if sys.argv[1] in ("fail", "exit") else main(Path(sys.argv[1]))
