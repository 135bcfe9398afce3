"""Threads that predict, train and read pictures at once."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial
from pathlib import Path
from threading import Barrier, Event
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.attacks.outcome import Outcome, told
from minidl import (
    SGD,
    BatchNorm,
    BinaryCrossEntropy,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    MaxPool2D,
    Module,
    ReLU,
    Sequential,
    Trainer,
)
from minidl.data import load_image_folders

READERS = 8
TIMEOUT = 120.0
NO_STEP = 1e-30  # a learning rate that moves no float32 weight
_RNG = np.random.default_rng(0)
X = _RNG.normal(size=(64, 16, 16, 2)).astype(np.float32)  # large enough for buffers and for all cores
WIDE = _RNG.normal(size=(40, 3000)).astype(np.float32)
Y = (X[:, 0, 0, 0] > 0).astype(int)


def run(count: int, seed: int) -> Outcome:
    """Let eight threads predict while another trains, and let several threads train models of their own.

    Lost: a prediction other than alone, where training does not move the weights; one that is not finite, where it
    does; a training that ends in other weights or statistics than without the others; a mode that has changed; an
    error; no end within two minutes.
    """
    outcome = Outcome("threads")
    scenes = {
        "predictions of weights that stand still": _predict_while_standing,
        "predictions of weights that move": _predict_while_moving,
        "predictions during the dual form": _predict_during_dual,
        "trainings at once": _train_at_once,
        "folders read at once": _read_at_once,
    }
    for i in range(count):
        for name, scene in scenes.items():
            try:
                problems = scene(seed + i)
            except Exception as error:
                problems = [told(error)]
            outcome.settle(name, problems, f"{name}, attempt {i}")
    return outcome


def _together(calls: Iterable[Callable[[], Any]]) -> list[Any]:
    """Return the results of calls in threads that begin together.

    Raises: TimeoutError where one has not ended; the first error of any.
    """
    calls = list(calls)
    begin, threads = Barrier(len(calls)), ThreadPoolExecutor(len(calls))

    def run(call: Callable[[], Any]) -> Any:
        begin.wait(TIMEOUT)
        return call()

    futures: list[Future[Any]] = [threads.submit(run, call) for call in calls]
    waiting = wait(futures, TIMEOUT).not_done
    threads.shutdown(wait=not waiting)
    if waiting:
        raise TimeoutError(f"{len(waiting)} threads have not ended within {TIMEOUT:g} s")
    return [future.result() for future in futures]


def _network(seed: int, *normalization: Module) -> Sequential:
    return Sequential(
        Conv2D(2, 4, 3, padding="same", rng=seed), *normalization, ReLU(), MaxPool2D(2), Dropout(0.5, rng=seed),
        Flatten(), Dense(256, 32, rng=seed), ReLU(), Dense(32, 1, rng=seed),
    )  # fmt: skip


def _trainer(model: Module, learning_rate: float) -> Trainer:
    optimizer = SGD(model.parameters(), learning_rate, momentum=0.9)
    return Trainer(model, BinaryCrossEntropy(from_logits=True), optimizer)


def _fit(trainer: Trainer, epochs: int = 4) -> dict[str, bytes]:
    """Train, and return the bytes of all weights and statistics."""
    trainer.fit(X, Y, epochs, batch_size=24, rng=0, print_every=None)
    return {name: array.tobytes() for name, array in trainer.model.state_dict().items()}


def _during(train: Callable[[], Any], look: Callable[[int], Any]) -> Any:
    """Return what `train` returns, while eight threads `look` again and again, each with its number."""
    ended = Event()

    def training() -> Any:
        try:
            return train()
        finally:
            ended.set()

    def looking(number: int) -> None:
        while not ended.is_set():
            look(number)

    return _together([training, *(partial(looking, number) for number in range(READERS))])[0]


def _predict_while_standing(seed: int) -> list[str]:
    model = _network(seed)
    right = [model.predict(X[: 8 * n + 8]) for n in range(READERS)]
    wrong: list[float] = []

    def look(number: int) -> None:
        distance = np.abs(model.predict(X[: 8 * number + 8]) - right[number]).max()
        if not distance <= 1e-5:
            wrong.append(float(distance))

    _during(lambda: _fit(_trainer(model, NO_STEP)), look)
    problems = [f"{len(wrong)} predictions are off by up to {max(wrong)}"] if wrong else []
    return problems + ([] if model.training else ["the model is in evaluation mode"])


def _predict_while_moving(seed: int) -> list[str]:
    right, model = _fit(_trainer(_network(seed, BatchNorm(4)), 0.01)), _network(seed, BatchNorm(4))
    return _trouble_of_moving(model, lambda: _fit(_trainer(model, 0.01)), right, X)


def _predict_during_dual(seed: int) -> list[str]:
    def fit(model: Module) -> dict[str, bytes]:
        trainer = _trainer(model, 0.001)
        trainer.fit(WIDE, Y[:40], 30, rng=0, print_every=None, dual=True)
        return {name: array.tobytes() for name, array in model.state_dict().items()}

    right, model = fit(_dense(seed)), _dense(seed)
    return _trouble_of_moving(model, lambda: fit(model), right, WIDE)


def _dense(seed: int) -> Sequential:
    return Sequential(Dense(WIDE.shape[1], 5, rng=seed), ReLU(), Dense(5, 1, rng=seed))


def _trouble_of_moving(model: Module, train: Callable[[], Any], right: Any, x: np.ndarray) -> list[str]:
    broken: list[int] = []

    def look(number: int) -> None:
        if not np.isfinite(model.predict(x[: number + 2])).all():
            broken.append(number)

    found = _during(train, look)
    other = [name for name in right if found[name] != right[name]]
    problems = [f"{len(broken)} predictions are not finite"] if broken else []
    return problems + ([f"other {', '.join(other)}"] if other else [])


def _train_at_once(seed: int) -> list[str]:
    right = [_fit(_trainer(_network(seed + n, BatchNorm(4)), 0.01), 2) for n in range(4)]
    trainers = [_trainer(_network(seed + n, BatchNorm(4)), 0.01) for n in range(4)]
    found = _together([partial(_fit, trainer, 2) for trainer in trainers])
    return [f"other weights of model {n}" for n in range(4) if found[n] != right[n]]


def _read_at_once(seed: int) -> list[str]:
    with tempfile.TemporaryDirectory() as root:
        for name in ("cats", "others"):
            Path(root, name).mkdir()
            for i in range(8):
                pixels = np.random.default_rng([seed, i]).integers(0, 256, (40, 30, 3), np.uint8)
                Image.fromarray(pixels).save(Path(root, name, f"{i}.{('png', 'jpg', 'gif', 'bmp')[i % 4]}"))
        folders = {name: Path(root, name) for name in ("cats", "others")}
        right = load_image_folders(folders, (16, 16)).images
        found = _together([lambda: load_image_folders(folders, (16, 16)).images] * READERS)
    return [] if all(np.array_equal(images, right) for images in found) else ["other pixels"]
