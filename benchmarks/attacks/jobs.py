"""Small trainings with everything that a run can hold, for processes that are to be killed or interrupted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minidl import (
    SGD,
    Adam,
    BatchNorm,
    BinaryCrossEntropy,
    Callback,
    Dense,
    Dropout,
    EarlyStopping,
    History,
    LearningRateSchedule,
    Module,
    ReLU,
    Run,
    Sequential,
    Trainer,
)

FORMS = ("full batch", "mini-batches", "dual form")
EPOCHS = 12
State = dict[str, Any]

_RNG = np.random.default_rng(0)
_X = _RNG.normal(size=(60, 100)).astype(np.float32)
_Y = (_X[:, 0] + _X[:, 1] > 0).astype(int)


class Noise(Module):
    """Normal numbers added in training, from a generator of its own."""

    def __init__(self, scale: float, rng: int = 0) -> None:
        self.scale, self.rng = scale, np.random.default_rng(rng)

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Return the input, in training with noise."""
        if not self.training:
            return x.copy()
        return (x + self.scale * self.rng.standard_normal(x.shape)).astype(x.dtype)

    def backward(self, grad_output: np.ndarray) -> np.ndarray:
        """Return the gradient as it is."""
        return grad_output


class Flip:
    """An augmentation with a generator of its own: the sign of random samples changed."""

    def __init__(self, rng: int) -> None:
        self.rng = np.random.default_rng(rng)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Return the samples of a batch, changed."""
        changed: np.ndarray = x * self.rng.choice(np.array([-1, 1], np.float32), size=(len(x), 1))
        return changed


@dataclass
class Job:
    """One run of a form: its trainer and all that draws random numbers; made anew it does the same again.

    `seed` decides the first weights and generators, which a job that resumes a checkpoint is to get from there.
    """

    form: str
    seed: int = 0
    trainer: Trainer = field(init=False)

    def __post_init__(self) -> None:
        seed = self.seed
        random: list[Module] = [] if self.form == "dual form" else [Noise(0.1, seed)]
        model = Sequential(
            *random, Dense(100, 6, rng=seed), BatchNorm(6), ReLU(), Dropout(0.2, rng=seed), Dense(6, 1, rng=seed)
        )
        parameters = model.parameters()
        optimizer = Adam(parameters, 0.05) if self.form == "full batch" else SGD(parameters, 0.05, momentum=0.9)
        self.trainer = Trainer(model, BinaryCrossEntropy(from_logits=True), optimizer)
        self.rng = np.random.default_rng(seed)
        self.augment = Flip(seed)

    def fit(self, callbacks: Iterable[Callback] = (), print_every: int | None = None) -> History:
        """Train with a schedule, early stopping that does not stop, and these callbacks."""
        options: dict[str, dict[str, Any]] = {
            "full batch": {"dual": False},
            "mini-batches": {"batch_size": 16, "augment": self.augment},
            "dual form": {"dual": True},
        }
        schedule = LearningRateSchedule(lambda epoch: 0.05 / (1 + epoch))
        stopping = EarlyStopping(patience=1000, restore_best=self.form == "full batch")
        return self.trainer.fit(
            _X[:50], _Y[:50], EPOCHS, validation_data=(_X[50:], _Y[50:]), print_every=print_every, rng=self.rng,
            callbacks=[schedule, stopping, *callbacks], **options[self.form],
        )  # fmt: skip

    def state(self) -> State:
        """Return the bytes of weights and optimizer state, the states of all generators, and the metrics.

        Not the seconds, and not the learning rate, which a schedule sets for the epoch to come.
        """
        arrays = {**self.trainer.model.state_dict(), **self.trainer.optimizer.state_dict()}
        state: State = {name: np.asarray(a).tobytes() for name, a in arrays.items() if name != "learning_rate"}
        generators = [self.rng, *([self.augment.rng] if self.form == "mini-batches" else [])]
        generators += [m.rng for _, m in self.trainer.model.named_modules() if isinstance(m, (Noise, Dropout))]
        state |= {f"generator {i}": rng.bit_generator.state for i, rng in enumerate(generators)}
        return state | {name: v for name, v in self.trainer.history.items() if name != "seconds"}


class After(Callback):
    """Calls a function after each epoch."""

    def __init__(self, function: Callable[[Run], object]) -> None:
        self.function = function

    def on_epoch_end(self, run: Run, epoch: int, metrics: Mapping[str, float]) -> None:
        """Call it with the run."""
        self.function(run)


def difference(found: State, right: State) -> list[str]:
    """Return a line that names what is not as it should be, none if all is."""
    names = [name for name in right if found.get(name) != right[name]]
    return [f"other {', '.join(names)}"] if names else []
