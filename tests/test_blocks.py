"""Work in blocks on all cores: the same results as without, errors that arrive, and nothing left running."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import seeds

from minidl import (
    SGD,
    AveragePool1D,
    AveragePool2D,
    BatchNorm,
    BinaryCrossEntropy,
    Callback,
    Conv1D,
    Conv2D,
    ConvTranspose2D,
    Dense,
    Flatten,
    MaxPool1D,
    MaxPool2D,
    Module,
    ReLU,
    Run,
    Sequential,
    Trainer,
)
from minidl._typing import Array
from minidl.data import Batches
from minidl.ops import parallel, tuning
from minidl.training import Problem, rewrites
from minidl.training.rewrites.pooling import pool_before_relu

small = st.integers(1, 40)


def use(patch: pytest.MonkeyPatch, cores: int, block: int) -> None:
    patch.setattr(parallel, "cores", lambda: cores)
    patch.setattr(tuning, "TUNING", tuning.TUNING._replace(cache_block=block))


@given(small, st.integers(1, 400), small, st.one_of(st.none(), small), st.integers(1, 4), st.booleans())
def test_every_sample_once_and_in_order(
    samples: int, numbers: int, block: int, at_most: int | None, cores: int, all_cores: bool
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        use(patch, cores, block)
        parts = parallel.in_blocks(
            lambda part: list(range(samples))[part], samples, numbers, at_most=at_most, all_cores=all_cores
        )
    assert [sample for part in parts for sample in part] == list(range(samples))
    assert all(parts)
    assert len(parts) <= (at_most or samples)
    if numbers > block:
        assert len(parts) >= min(samples, at_most or samples, 2)


def test_the_work_is_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, 2, 1)
    both = threading.Barrier(2, timeout=60)
    names = parallel.in_blocks(lambda _: (both.wait(), threading.get_ident())[1], 4, 100)
    assert len(set(names)) == 2
    assert threading.get_ident() in names


@pytest.mark.parametrize("in_helper", [True, False])
def test_an_error_is_raised_when_no_thread_works_any_more(monkeypatch: pytest.MonkeyPatch, in_helper: bool) -> None:
    use(monkeypatch, 3, 1)
    working, both = [], threading.Barrier(3, timeout=60)
    caller = threading.get_ident()

    def work(block: slice) -> None:
        working.append(block)
        both.wait()
        if (threading.get_ident() != caller) == in_helper:
            working.remove(block)
            raise ArithmeticError(f"samples {block.start} and on")
        working.remove(block)

    with pytest.raises(ArithmeticError, match="samples"):
        parallel.in_blocks(work, 3, 100)
    assert working == []


def test_what_numpy_does_about_overflow_is_the_same_in_all_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, 2, 1)
    both = threading.Barrier(2, timeout=60)

    def overflow(_: slice) -> float:
        both.wait()
        return float(np.float32(1e38) * np.float32(10))

    with np.errstate(over="ignore"):
        assert parallel.in_blocks(overflow, 2, 100) == [np.inf, np.inf]
    with np.errstate(over="raise"), pytest.raises(FloatingPointError):
        parallel.in_blocks(overflow, 2, 100)


def test_after_an_error_no_block_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, 2, 1)
    begun, caller, cleared = [], threading.get_ident(), threading.Event()
    both, wait_for = threading.Barrier(2, timeout=60), parallel._wait_for

    def wait(locks: list[Any]) -> None:
        cleared.set()
        wait_for(locks)

    def work(block: slice) -> None:
        begun.append(block)
        both.wait()
        if threading.get_ident() == caller:
            raise ArithmeticError
        assert cleared.wait(60)

    monkeypatch.setattr(parallel, "_wait_for", wait)
    with pytest.raises(ArithmeticError):
        parallel.in_blocks(work, 10, 100)
    assert len(begun) == 2


class Interrupted:
    """A lock for which one waits in vain at first, because Ctrl-C is pressed."""

    def __init__(self, times: int) -> None:
        self.times, self.acquired = times, False

    def acquire(self) -> None:
        self.times -= 1
        if self.times >= 0:
            raise KeyboardInterrupt
        self.acquired = True


def test_ctrl_c_has_its_effect_when_no_thread_works_any_more() -> None:
    locks: list[Any] = [Interrupted(0), Interrupted(2), Interrupted(0)]
    with pytest.raises(KeyboardInterrupt):
        parallel._wait_for(locks)
    assert all(lock.acquired for lock in locks)
    parallel._wait_for(locks[:0])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_process_has_threads_of_its_own() -> None:
    program = (
        "import os; from minidl.ops import parallel, tuning; "
        "tuning.TUNING = tuning.Tuning(cache_block=1); parallel.cores = lambda: 2; "
        "work = lambda: parallel.in_blocks(lambda block: block.start, 8, 100); before = work(); child = os.fork(); "
        "after = work(); status = child and os.waitpid(child, 0)[1]; print(after == before, status)"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert result.stdout == "True 0\n" * 2


def convnet(seed: int) -> Sequential:
    return Sequential(
        Conv2D(2, 3, 3, padding="same", rng=seed), BatchNorm(3), ReLU(), MaxPool2D(2),
        Conv2D(3, 4, 3, stride=2, padding=1, rng=seed), BatchNorm(4), ReLU(), MaxPool2D(2, stride=1),
        Flatten(), Dense(4, 1, rng=seed),
    )  # fmt: skip


def grouped_convnet(seed: int) -> Sequential:
    return Sequential(
        Conv2D(2, 4, (3, 2), 1, ((1, 1), (0, 1)), groups=2, rng=seed), BatchNorm(4), ReLU(),
        MaxPool2D((2, 1), padding=((1, 0), (0, 0))),
        Conv2D(4, 4, 3, (1, 2), 2, (2, 1), groups=4, rng=seed), ReLU(), MaxPool2D((2, 3), stride=1),
        ConvTranspose2D(4, 2, 2, (1, 2), groups=2, rng=seed), AveragePool2D(3, 2, 1, count_padding=False), ReLU(),
        Flatten(), Dense(12, 1, rng=seed),
    )  # fmt: skip


def sequence_network(seed: int) -> Sequential:
    return Sequential(
        Flatten(), AsSequences(), Conv1D(4, 8, 3, padding="causal", dilation=2, groups=2, rng=seed), ReLU(),
        MaxPool1D(3, 2, 1), Conv1D(8, 8, 3, 2, "same_upper", groups=8, rng=seed), ReLU(), MaxPool1D(),
        AveragePool1D(2, 2, 1), Flatten(), Dense(24, 1, rng=seed),
    )  # fmt: skip


class AsSequences(Module):
    """Rows of numbers as sequences of 4 channels."""

    def forward(self, x: Array) -> Array:
        return x.reshape(len(x), -1, 4)

    def backward(self, grad_output: Array) -> Array:
        return grad_output.reshape(len(grad_output), -1)


networks = pytest.mark.parametrize("make", [convnet, grouped_convnet, sequence_network])


def trained(seed: int, make: Callable[[int], Sequential]) -> dict[str, Array]:
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(13, 8, 8, 2)).astype(np.float32), rng.integers(0, 2, 13)
    model = make(seed)
    loss = BinaryCrossEntropy(from_logits=True)
    Trainer(model, loss, SGD(model.parameters(), 0.1)).fit(x, y, 2, batch_size=7, print_every=None, rng=seed)
    return model.state_dict()


@networks
@settings(max_examples=10)
@given(seed=seeds, block=st.sampled_from([1, 50, 500]), cores=st.integers(2, 5))
def test_the_bits_do_not_depend_on_the_number_of_cores(make: Any, seed: int, block: int, cores: int) -> None:
    states = []
    for count in (1, cores):
        with pytest.MonkeyPatch.context() as patch:
            use(patch, count, block)
            states.append(trained(seed, make))
    for name, value in states[0].items():
        np.testing.assert_array_equal(value, states[1][name])


@networks
@settings(max_examples=10)
@given(seed=seeds)
def test_blocks_change_no_more_than_rounding(make: Any, seed: int) -> None:
    whole = trained(seed, make)
    with pytest.MonkeyPatch.context() as patch:
        use(patch, 2, 20)
        for name, value in trained(seed, make).items():
            np.testing.assert_allclose(value, whole[name], rtol=2e-4, atol=2e-5)


class Own(ReLU):
    """A user's activation."""


class OwnPool(MaxPool2D):
    """A user's pooling."""


class OwnNetwork(Sequential):
    """A user's network, which may compute anything."""

    def forward(self, x: Array) -> Array:
        return super().forward(x)


class OwnBackward(Sequential):
    """A user's network that goes back in a way of its own."""

    def backward(self, grad_output: Array) -> Array:
        return super().backward(grad_output)


class NamedNetwork(Sequential):
    """A user's network that computes as a Sequential does."""


def pooled_first(model: Module) -> Module:
    """Return the model of a problem after the rewrite, which leaves all else as it is."""
    batches = Batches(np.zeros((2, 4, 4, 2), np.float32), np.zeros((2, 1)))
    problem = Problem(model, BinaryCrossEntropy(), SGD(Dense(1, 1).parameters()), batches)
    rewritten = pool_before_relu(problem)
    assert replace(rewritten, model=model) == problem
    assert (rewritten is problem) is (rewritten.model is model)
    return rewritten.model


def test_only_what_is_known_is_moved() -> None:
    for pair in (
        [ReLU(), MaxPool2D()],
        [ReLU(), MaxPool1D(2)],
        [ReLU(), MaxPool2D((2, 3), 1, (1, 0))],
        [ReLU(), MaxPool2D(), MaxPool2D(), MaxPool2D()],
    ):
        moved = pooled_first(Sequential(*pair))
        assert isinstance(moved, Sequential)
        assert sorted(map(id, moved)) == sorted(map(id, pair))  # the same layers, in another order
        kinds = [type(layer) for layer in moved]
        assert kinds == sorted(kinds, key=lambda kind: kind is ReLU)
    for layers in ([Own(), MaxPool2D()], [ReLU(), OwnPool()], [ReLU(), BatchNorm(2), MaxPool2D()]):
        model = Sequential(*layers)
        assert pooled_first(model) is model
        assert list(model) == layers
    for kind in (OwnNetwork, OwnBackward):
        network = kind(ReLU(), MaxPool2D())
        assert pooled_first(network) is network
    named = pooled_first(NamedNetwork(ReLU(), MaxPool2D()))
    assert isinstance(named, Sequential)
    assert [type(layer) for layer in named] == [MaxPool2D, ReLU]
    nested = pooled_first(Sequential(Sequential(Dense(1, 1), ReLU()), Sequential(MaxPool2D())))
    assert isinstance(nested, Sequential)
    assert [type(layer) for layer in nested] == [Dense, MaxPool2D, ReLU]
    for inside in (Sequential(network, MaxPool2D()), Sequential(ReLU(), OwnNetwork(MaxPool2D()))):
        assert pooled_first(inside) is inside
    assert pooled_first(alone := ReLU()) is alone


def test_the_users_network_keeps_its_order() -> None:
    model = convnet(0)
    before = list(model)
    x, y = np.zeros((4, 8, 8, 2), np.float32), np.arange(4) % 2
    trainer = Trainer(model, BinaryCrossEntropy(from_logits=True), SGD(model.parameters(), 0.1))
    fitted: list[Module] = []

    class Look(Callback):
        def on_epoch_end(self, run: Run, epoch: int, metrics: Mapping[str, float]) -> None:
            fitted.extend(module for _, module in run.problem.model.named_modules() if not any(module.named_children()))

    trainer.fit(x, y, 1, print_every=None, callbacks=[Look()])
    assert list(model) == before
    assert [before.index(layer) for layer in fitted] == [0, 1, 3, 2, 4, 5, 7, 6, 8, 9]


@networks
@settings(max_examples=20)
@given(seed=seeds)
def test_pooling_before_rectifying_changes_no_bit(make: Any, seed: int) -> None:
    fast = trained(seed, make)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rewrites, "pool_before_relu", lambda problem: problem)
        for name, value in trained(seed, make).items():
            np.testing.assert_array_equal(value, fast[name])
