"""A transformer that learns to write: the time of a step, and the bits per character after the same training.

    python -m benchmarks.characters [--epochs N]

Network, text and settings are those of `examples/characters.py`, its default number of epochs included, unless another
is given; among all claims it is one epoch. PyTorch trains the same network in its usual loop: the same first weights by
name, the same batches, the same schedule. Both are measured on the same windows of the part held out.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from benchmarks.comparison import Comparison, Measurement, Target, compare, timed
from benchmarks.machine import peer
from benchmarks.report import show
from minidl import Sequential
from minidl._typing import Array
from minidl.data import Batches

sys.path.append(str(Path(__file__).parent.parent / "examples"))
import characters as example  # which is no package
from texts import IGNORED, Text, held_out_windows, load_text, training_windows

STEPS = 40  # of a timed run
SAME = Target(at_least=0.99, at_most=1.01)  # within 0.02 bits
OPTIONS = example.options_of([])
Windows = tuple[Array, Array]
Weights = dict[str, Any]


def measure(epochs: int = 1) -> Iterable[Comparison]:
    text = load_text(None, OPTIONS.context)
    has_pytorch = peer("torch") is not None
    x, y = training_windows(text.tokens[: text.start], OPTIONS.context)
    some = x[: STEPS * OPTIONS.batch_size], y[: STEPS * OPTIONS.batch_size]
    rivals = {"minidl": minidl_epoch(text, some), "PyTorch": pytorch_epoch(text, some) if has_pytorch else None}
    yield compare(
        f"training step of a transformer, {OPTIONS.blocks} blocks of {OPTIONS.features} features, {OPTIONS.context} "
        f"tokens, batch {OPTIONS.batch_size}, float32",
        {name: run and timed(run, per=STEPS) for name, run in rivals.items()},
        repetitions=7,
        targets={"PyTorch": Target(at_least=1.0)},
    )
    yield compare(
        f"bits per character held out, after {epochs} epochs of {math.ceil(len(x) / OPTIONS.batch_size)} steps",
        {"minidl": minidl_bits(text, epochs), "PyTorch": pytorch_bits(text, epochs) if has_pytorch else None},
        repetitions=1,
        targets={"PyTorch": SAME} | ({"minidl": Target(at_most=1.9)} if epochs >= OPTIONS.epochs else {}),
        unit="bits",
        warmup=0,
    )


def first_model(text: Text) -> Sequential:
    """Return the network of the example with its first weights."""
    return example.model_of(text, OPTIONS)


def minidl_epoch(text: Text, windows: Windows) -> Callable[[], object]:
    """Return what trains minidl's network for one epoch more."""
    trainer = example.trainer_of(first_model(text), OPTIONS.learning_rate)
    return lambda: trainer.fit(*windows, 1, OPTIONS.batch_size, print_every=None, rng=0)


def minidl_bits(text: Text, epochs: int) -> Measurement:
    """Return what trains minidl's network and measures its bits per character."""

    def run() -> float:
        trainer = example.trainer_of(first_model(text), OPTIONS.learning_rate)
        windows = training_windows(text.tokens[: text.start], OPTIONS.context)
        schedule = example.schedule_of(OPTIONS.learning_rate, epochs)
        size, seed = OPTIONS.batch_size, OPTIONS.seed
        trainer.fit(*windows, epochs, size, print_every=None, rng=seed, callbacks=[schedule])
        held_out = held_out_windows(text.tokens, text.start, OPTIONS.context)
        return trainer.evaluate(*held_out, batch_size=size)["loss"] / math.log(2)

    return run


def pytorch_epoch(text: Text, windows: Windows) -> Callable[[], None]:
    """Return what trains PyTorch's network for one epoch more."""
    weights = pytorch_weights(first_model(text))
    optimizer = pytorch_optimizer(weights)
    return lambda: pytorch_train(weights, optimizer, Batches(*windows, OPTIONS.batch_size, rng=0))


def pytorch_bits(text: Text, epochs: int) -> Measurement:
    """Return what trains PyTorch's network and measures its bits per character."""
    torch = peer("torch")

    def run() -> float:
        weights = pytorch_weights(first_model(text))
        optimizer = pytorch_optimizer(weights)
        windows = training_windows(text.tokens[: text.start], OPTIONS.context)
        batches = Batches(*windows, OPTIONS.batch_size, rng=OPTIONS.seed)
        schedule = example.schedule_of(OPTIONS.learning_rate, epochs)
        for epoch in range(epochs):
            optimizer.param_groups[0]["lr"] = schedule.function(epoch)
            pytorch_train(weights, optimizer, batches)
        total, count = 0.0, 0
        with torch.no_grad():
            for x, y in Batches(*held_out_windows(text.tokens, text.start, OPTIONS.context), OPTIONS.batch_size, rng=0):
                counted = int((y != IGNORED).sum())
                total, count = total + pytorch_cost(weights, x, y).item() * counted, count + counted
        return total / count / math.log(2)

    return run


def pytorch_weights(model: Sequential) -> Weights:
    """Return copies of all weights by their names, which PyTorch trains."""
    torch = peer("torch")
    return {name: torch.tensor(array, requires_grad=True) for name, array in model.state_dict().items()}


def pytorch_optimizer(weights: Weights) -> Any:
    return peer("torch").optim.AdamW(
        weights.values(), OPTIONS.learning_rate, example.BETAS, weight_decay=example.WEIGHT_DECAY
    )


def pytorch_train(weights: Weights, optimizer: Any, batches: Batches) -> None:
    """Train for one epoch."""
    clip = peer("torch").nn.utils.clip_grad_norm_
    total = 0.0
    for x, y in batches:
        optimizer.zero_grad()
        cost = pytorch_cost(weights, x, y)
        cost.backward()
        clip(weights.values(), example.LONGEST)
        optimizer.step()
        total += cost.item() * len(x)


def pytorch_cost(w: Weights, x: Array, y: Array) -> Any:
    """Return the cross-entropy of the transformer with these weights."""
    torch = peer("torch")
    f = torch.nn.functional
    h = f.embedding(torch.from_numpy(x), w["0.weight"]) + w["1.weight"][: x.shape[1]]
    for i in range(2, 2 + OPTIONS.blocks):
        part = f"{i}.0.1"
        qkv = f.linear(norm(w, f"{i}.0.0", h), w[f"{part}.in_proj_weight"], w[f"{part}.in_proj_bias"])
        q, k, v = qkv.view(*h.shape[:2], 3, OPTIONS.heads, -1).permute(2, 0, 3, 1, 4)
        o = f.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(h.shape)
        h = h + linear(w, f"{part}.out_proj", o)
        h = h + linear(w, f"{i}.1.3", f.gelu(linear(w, f"{i}.1.1", norm(w, f"{i}.1.0", h))))
    z = linear(w, f"{i + 2}", norm(w, f"{i + 1}", h))
    return f.cross_entropy(z.flatten(0, 1), torch.from_numpy(y).flatten(), ignore_index=IGNORED)


def linear(w: Weights, name: str, x: Any) -> Any:
    return peer("torch").nn.functional.linear(x, w[f"{name}.weight"], w[f"{name}.bias"])


def norm(w: Weights, name: str, x: Any) -> Any:
    return peer("torch").nn.functional.layer_norm(x, x.shape[-1:], w[f"{name}.weight"], w[f"{name}.bias"])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.characters")
    parser.add_argument("--epochs", type=int, default=OPTIONS.epochs)
    show(measure(parser.parse_args().epochs))
