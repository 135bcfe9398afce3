"""Everything of minidl that a pickle may hold, each with a function that uses it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import minidl
from benchmarks.attacks.processes import ERRORS
from minidl import (
    SGD,
    BatchNorm,
    BinaryCrossEntropy,
    Callback,
    Checkpoint,
    Dense,
    Dropout,
    EarlyStopping,
    History,
    LearningRateSchedule,
    Loss,
    Metric,
    Module,
    Optimizer,
    Parameter,
    ReLU,
    Sequential,
    Trainer,
    metrics,
    schedules,
)
from minidl import inspect as looking
from minidl.data import (
    Augment,
    Batches,
    Compose,
    CutMix,
    LazyImages,
    MixUp,
    RandAugment,
    RandomResizedCrop,
    open_image_folders,
    train_test_split,
)

X = np.random.default_rng(0).normal(size=(12, 4)).astype(np.float32)
TOKENS = np.random.default_rng(2).integers(0, 5, (4, 6))
PIXELS = np.random.default_rng(1).integers(0, 256, (3, 8, 8, 3), np.uint8)
Y = (X[:, :1] > 0).astype(np.float32)
ACTIVATIONS = (
    *("ReLU", "ReLU6", "PReLU", "GELU", "ELU", "SELU", "SiLU", "HardSwish", "Softplus"),
    *("Sigmoid", "Tanh", "Softmax", "LogSoftmax"),
)
Look = Callable[[Any], Any]
Things = dict[str, tuple[Any, Look]]


def everything(folder: Path) -> Things:
    """Return all of them, made anew, those that read files from this empty folder."""
    return {**layers(), **parts(), **trained(), **samples(folder), **errors()}


def layers() -> Things:
    """Return every layer with a function that uses it: in training and evaluation mode, forward and backward."""
    pictures = np.random.default_rng(2).normal(size=(4, 6, 6, 2)).astype(np.float32)
    sequences = pictures[:, 0]
    made: dict[str, tuple[Module, Any]] = {
        "Dense": (Dense(4, 3, rng=0), X), "Conv2D": (minidl.Conv2D(2, 3, 3, rng=0), pictures),
        "Conv1D": (minidl.Conv1D(2, 4, 3, padding="causal", groups=2, rng=0), sequences),
        "ConvTranspose2D": (minidl.ConvTranspose2D(2, 3, (3, 2), 2, ((1, 0), (0, 1)), rng=0), pictures),
        "BatchNorm": (BatchNorm(4), X), "LayerNorm": (minidl.LayerNorm(4), X), "Dropout": (Dropout(0.5, rng=3), X),
        "MaxPool2D": (minidl.MaxPool2D(2), pictures), "AveragePool2D": (minidl.AveragePool2D(2), pictures),
        "MaxPool1D": (minidl.MaxPool1D(2), sequences), "AveragePool1D": (minidl.AveragePool1D(2, padding=1), sequences),
        "GlobalAveragePool2D": (minidl.GlobalAveragePool2D(), pictures), "Flatten": (minidl.Flatten(), pictures),
        "Rescale": (minidl.Rescale(), PIXELS), "Normalize": (minidl.Normalize(3), PIXELS),
        "LeakyReLU": (minidl.LeakyReLU(0.2), X),
        **{name: (getattr(minidl, name)(), X) for name in ACTIVATIONS}, "PReLU of features": (minidl.PReLU(4), X),
        "GlobalMaxPool2D": (minidl.GlobalMaxPool2D(), pictures), "UpSample2D": (minidl.UpSample2D(2), pictures),
        "RMSNorm": (minidl.RMSNorm(4), X), "GroupNorm": (minidl.GroupNorm(1, 2), pictures),
        "Embedding": (minidl.Embedding(5, 2, rng=0), TOKENS),
        "PositionalEmbedding": (minidl.PositionalEmbedding(6, 2, rng=0), pictures[:, 0]),
        "TransformerBlock": (minidl.TransformerBlock(2, 1, rng=0), pictures[:, 0]),
        "SelfAttention": (minidl.SelfAttention(2, 1, rng=0), pictures[:, 0]),
        "LSTM": (minidl.LSTM(2, 3, bidirectional=True, rng=0), pictures[:, 0]),
        "GRU": (minidl.GRU(2, 3, return_sequence=False, rng=0), pictures[:, 0]),
        "GlobalAveragePool1D": (minidl.GlobalAveragePool1D(), pictures[:, 0]),
        "GlobalMaxPool1D": (minidl.GlobalMaxPool1D(), pictures[:, 0]),
        "Masked": (minidl.Masked(minidl.Embedding(5, 2, rng=0), minidl.SelfAttention(2, 1, rng=1), padding=4), TOKENS),
        "Parallel": (minidl.Parallel(Dense(4, 3, rng=0), Dense(4, 3, rng=1)), X),
        "Residual": (minidl.Residual(Dense(4, 3, rng=0), shortcut=Dense(4, 3, rng=1)), X),
        "Sequential": (Sequential(Dense(4, 3, rng=0), Sequential(BatchNorm(3), Dropout(0.2, rng=1))), X),
    }  # fmt: skip

    def use(layer: Module, x: Any) -> Any:
        output = layer.train()(x)
        gradient = layer.backward(np.ones_like(output)) if x is not PIXELS else 0
        return [
            output,
            gradient,
            layer.predict(x),
            *(p.grad for p in layer.parameters()),
            layer.state_dict(),
            repr(layer),
        ]

    for layer, x in made.values():
        layer(x)  # so that something is saved for a backward pass, which no copy takes along
    return {name: (layer, partial(use, x=x)) for name, (layer, x) in made.items()}


def parts() -> Things:
    """Return parameters, losses, metrics and callbacks."""
    losses: list[Loss] = [
        BinaryCrossEntropy(True, 2.0), minidl.SoftmaxCrossEntropy(0.1), minidl.MeanSquaredError(),
        minidl.WeightedLoss(BinaryCrossEntropy(True, [2.0, 0.5])),
        minidl.MeanAbsoluteError(), minidl.Huber(0.1), minidl.Hinge(squared=True),
    ]  # fmt: skip
    callbacks: list[Callback] = [
        EarlyStopping("loss"), Checkpoint("a.ckpt", 3), LearningRateSchedule(schedules.cosine(0.1, 0.01, 9)),
        LearningRateSchedule(lambda _: 0.1), LearningRateSchedule(schedules.warm_restarts(0.1, 0.01, 9), per="step"),
        minidl.ReduceOnPlateau("loss"), minidl.BestModel("a.npz", "loss", names=["a"]), minidl.TensorBoard("a"),
    ]  # fmt: skip
    measures: list[Metric] = [
        metrics.F1(), metrics.FunctionMetric(metrics.accuracy), metrics.Accuracy(), metrics.BalancedAccuracy(),
        metrics.Precision(average="macro"), metrics.Recall(class_index=1), metrics.LogLoss(), metrics.RocAuc(),
        metrics.AveragePrecision("weighted"), metrics.MeanAbsoluteError(), metrics.RootMeanSquaredError(),
        metrics.R2(),
    ]  # fmt: skip
    top, report = metrics.TopKAccuracy(1), minidl.classification_report(minidl.mlp([4, 1], rng=0), X, Y)
    parameter, buffer = Parameter(np.ones(3)), minidl.Buffer(np.zeros(2))
    parameter.grad = np.full(3, 2.0)
    pairs: list[tuple[Any, Look]] = [(parameter, lambda p: [p.data, p.grad]), (buffer, lambda b: b.data)]
    pairs += [(loss, lambda loss: [repr(loss), loss.classifies, type(loss).__name__]) for loss in losses]
    pairs += [(metric, lambda metric: [metric.name, metric(Y, Y), metric(Y, Y, X[:, 1] > 0)]) for metric in measures]
    pairs += [(top, lambda top: [top.name, top(X, Y)]), (report, lambda report: [str(report), report.matrix])]
    pairs += [(callback, lambda callback: callback.state_dict()) for callback in callbacks]
    return {f"{type(thing).__name__} {i}": (thing, look) for i, (thing, look) in enumerate(pairs)}


def trained() -> Things:
    """Return optimizers, histories, trainers and runs in the middle of their work, with what goes on from there."""

    def fit(trainer: Trainer) -> Any:
        history = trainer.fit(X, Y, 3, batch_size=5, rng=4, print_every=None)
        return [history["loss"], trainer.model.state_dict(), trainer.optimizer.state_dict()]

    def trainer_of(make: Callable[[list[Parameter]], Optimizer]) -> Trainer:
        model = Sequential(
            Dense(4, 3, rng=0), BatchNorm(3), ReLU(), Dropout(0.2, rng=1), Dense(3, 1, rng=2), minidl.Sigmoid()
        )
        trainer = Trainer(model, BinaryCrossEntropy(), make(model.parameters()), {"f1": metrics.F1()})
        fit(trainer)
        return trainer

    makers: dict[str, Callable[[list[Parameter]], Optimizer]] = {
        "SGD": lambda p: SGD(p, 0.1, momentum=0.9), "Adam": lambda p: minidl.Adam(p, 0.1),
        "AdamW": lambda p: minidl.AdamW(p, 0.1, max_gradient_norm=1.0), "NAdam": lambda p: minidl.NAdam(p, 0.1),
        "RMSProp": lambda p: minidl.RMSProp(p, 0.1, centered=True), "Adagrad": lambda p: minidl.Adagrad(p, 0.1),
        "Lion": lambda p: minidl.Lion(p, 0.1),
        "groups": lambda p: SGD([*p[:1], {"parameters": p[1:], "learning_rate_factor": 0.1}], 0.1),
    }  # fmt: skip
    found: Things = {}
    for name, make in makers.items():
        trainer = trainer_of(make)
        found[f"Trainer with {name}"] = trainer, fit
        found[name] = (
            trainer.optimizer,
            lambda optimizer: [optimizer.state_dict(), optimizer.hyperparameters(), optimizer.step()],
        )
    interrupted = History.of_interrupted()
    histories: list[History] = [trainer.history, interrupted, History({"loss": [float("inf")]})]
    for i, history in enumerate(histories):
        found[f"History {i}"] = history, lambda history: [dict(history), history.interrupted, history.epochs]
    found.update(looked_at())
    found["Run"] = trainer.run, lambda run: [run.epoch, run.metric_names, dict(run.metrics), run.model.state_dict()]
    return found


def looked_at() -> Things:
    """Return a recorder after a run, and what else is seen inside a network."""
    model, recorder = minidl.mlp([4, 3, 1], rng=0), looking.Recorder(X[:2], limit=3)
    initial, trainer = minidl.mlp([4, 3, 1], rng=0), Trainer(model, BinaryCrossEntropy(), SGD(model.parameters(), 0.1))
    trainer.fit(X[:3], Y[:3], 4, dual=True, print_every=None, callbacks=[recorder])
    run: Any = trainer.run
    return {
        "Recorder": (recorder, lambda recorder: [repr(recorder), recorder.state_dict()["moments"][1:]]),
        "Span": (run.span, lambda span: [span.coefficients, span.scale, span.velocity_scale]),
        "Influences": (
            looking.influences(model, initial, X[:3], span=run.span),
            lambda found: [repr(found), found.coefficients, found.residual, found.parts(X)],
        ),
        "Trace": (
            looking.trace(model, X, Y, BinaryCrossEntropy()),
            lambda trace: [str(trace), trace.output, *(layer.grad_output for layer in trace)],
        ),
    }


def samples(folder: Path) -> Things:
    """Return what data is made of."""
    for name in ("cats", "others"):
        (folder / name).mkdir()
        Image.fromarray(PIXELS[0]).save(folder / name / "1.png")
    dataset = open_image_folders({name: folder / name for name in ("cats", "others")}, (4, 4))
    lazy = LazyImages(dataset.paths, (4, 4))
    return {
        "Augment": (Augment(flip=True, shift=0.2, rng=0), lambda augment: augment(PIXELS)),
        "RandomResizedCrop": (RandomResizedCrop(rng=0), lambda crop: crop(PIXELS)),
        "RandAugment": (RandAugment(rng=0), lambda augment: augment(PIXELS)),
        "MixUp": (MixUp(1.0, rng=0), lambda mix: mix(X, Y)),
        "CutMix": (CutMix(1.0, rng=0), lambda mix: mix(PIXELS, X[: len(PIXELS)])),
        "Compose": (Compose(Augment(flip=True, rng=0), RandomResizedCrop(rng=1)), lambda augment: augment(PIXELS)),
        "Batches": (Batches(X, Y, 5, rng=0), lambda batches: [list(batches), list(batches)]),
        "LazyImages": (lazy, lambda images: images[:]),
        "Subset": (train_test_split(lazy, [0, 1], 1, stratify=False)[0], lambda subset: subset[:]),
        "ImageDataset": (dataset, lambda found: [found.images[:], found.labels, found.class_names, found.paths]),
    }


def errors() -> Things:
    """Return every error, with its attributes."""

    def look(error: Exception) -> Any:
        return [type(error).__name__, str(error), {name: str(value) for name, value in vars(error).items()}]

    return {f"{type(error).__name__} {i}": (error, look) for i, error in enumerate(ERRORS)}
