"""Training on several processes: the result of one process, whatever their number, and one end for all of them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("mpi4py")

import distributed_cases
import photos
import practice_pictures
from distributed_cases import CASES

import minidl
from minidl import Adam, BinaryCrossEntropy, Trainer
from minidl._typing import Array
from minidl.data.batches import Batches
from minidl.distributed import Group
from minidl.distributed.batches import DistributedBatches, own_streams
from minidl.distributed.exchange import Exchange, SharedInterrupts
from minidl.losses import MeanSquaredError
from minidl.ops.channels import channel_statistics

TESTS = Path(__file__).parent
MPIEXEC = Path(sys.executable).parent / "mpiexec"  # where `pip install mpich` puts it


def launch(processes: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the child program on so many processes."""
    path = os.pathsep.join([str(Path(minidl.__file__).parent.parent), str(TESTS), os.environ.get("PYTHONPATH", "")])
    # Processes that wait yield their core at once, as there may be fewer cores than processes.
    settings = {"PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1", "MPIR_CVAR_POLLS_BEFORE_YIELD": "1"}
    mpiexec = str(MPIEXEC) if MPIEXEC.exists() else "mpiexec"
    command = [mpiexec, "-n", str(processes), sys.executable, "-W", "error", "-m", "distributed_cases", *arguments]
    return subprocess.run(command, env={**os.environ, **settings}, capture_output=True, text=True, timeout=120)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what one process makes of every case."""
    made = tmp_path_factory.mktemp("distributed")
    distributed_cases.write_references(made)
    return made


@pytest.mark.parametrize("processes", [1, 2, 3, 4])
def test_the_result_is_that_of_one_process(processes: int, folder: Path) -> None:
    result = launch(processes, str(folder))
    assert (result.returncode, result.stderr) == (0, "")
    assert sorted(result.stdout.splitlines()) == [f"process {rank} is done" for rank in range(processes)]
    for case in CASES:
        one = np.load(folder / f"one {case.__name__}.npz")
        several = np.load(folder / f"{processes} {case.__name__}.npz")
        assert one.files == several.files
        for name in one.files:
            expected = one[name]
            np.testing.assert_allclose(several[name], expected, rtol=1e-10, atol=1e-10, err_msg=f"{case}: {name}")
            assert processes > 1 or np.array_equal(several[name], expected), (case, name)
    x, y = distributed_cases.drawn()
    model = distributed_cases.network(6, 5, 1, norm=True)
    trainer = Trainer(model, BinaryCrossEntropy(), Adam(model.parameters(), 0.05))
    trainer.resume(folder / "whole.npz")
    assert distributed_cases.fit_with_checkpoints(trainer, x, y, 5, folder, "more.npz").epochs == 5


@pytest.mark.parametrize(
    ("how", "message"), [("fail", "LookupError: the disk of this process is gone"), ("exit", "SystemExit: 0")]
)
def test_a_process_that_fails_ends_all(how: str, message: str) -> None:
    result = launch(2, how)
    assert result.returncode != 0
    assert "process 1 of 2 failed" in result.stderr
    assert message in result.stderr
    assert result.stdout == ""  # no process goes on


def test_without_mpi_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("minidl.distributed")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    with pytest.raises(ImportError, match=r"minidl\[mpi\]"):
        __import__("minidl.distributed")


def test_the_example_trains_on_one_process_as_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = practice_pictures.draw_practice_classes(tmp_path / "drawn", count=6, seed=5)
    weights: list[dict[str, Array]] = []

    def finish(options: Any, model: minidl.Module, *arguments: Any, **of_page: Any) -> int:
        weights.append(model.state_dict())
        return 0

    monkeypatch.setattr(photos, "finish", finish)
    for number, more in enumerate(([], ["--distributed"])):
        out = ["--out", str(tmp_path / f"out {number}")]
        assert photos.main(["--folder", str(folder), "--size", "16", "--epochs", "1", *out, *more]) == 0
    assert all(np.array_equal(weights[1][name], array) for name, array in weights[0].items())


def group_of(rank: int, size: int) -> Any:
    """Return the group of one of several processes that say nothing to each other."""
    comm: Any = SimpleNamespace(Get_rank=lambda: rank, Get_size=lambda: size)
    return Group(comm)


@given(st.integers(0, 50), st.integers(1, 9))
def test_shares_follow_each_other_and_differ_by_one_at_most(n: int, size: int) -> None:
    shares = [np.arange(n)[group_of(rank, size).share(n)] for rank in range(size)]
    np.testing.assert_array_equal(np.concatenate(shares), np.arange(n))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@given(st.data(), st.integers(1, 12), st.integers(1, 4), st.integers(1, 14) | st.none(), st.integers(0, 99))
def test_batches_have_the_samples_of_one_process(
    data: st.DataObject, n: int, size: int, batch_size: int | None, seed: int
) -> None:
    size = min(size, n)
    owners = np.array(
        [*range(size), *data.draw(st.lists(st.integers(0, size - 1), min_size=n - size, max_size=n - size))]
    )
    x, y = np.arange(n)[:, None] * 1.5, np.arange(n)[:, None]
    expected = list(Batches(x, y, batch_size, seed))
    parts: list[list[Array]] = []
    for rank in range(size):
        exchange, numbers = Exchange(group_of(rank, size), SharedInterrupts()), np.flatnonzero(owners == rank)
        settings = {"batch_size": batch_size, "rng": seed}
        batches = DistributedBatches(x[numbers], numbers, y, exchange, MeanSquaredError(), **settings)
        part: list[Array] = []
        for own_x, own_y in batches:
            np.testing.assert_array_equal(own_x, own_y * 1.5)
            assert exchange.count == len(expected[len(part)][1])
            assert exchange.share == (0 if exchange.is_stand_in else len(own_y) / exchange.count)
            part.append(own_y[: 0 if exchange.is_stand_in else None])
        parts.append(part)
    assert [len(part) for part in parts] == [len(expected)] * size
    for number, (_, whole) in enumerate(expected):
        together = np.concatenate([part[number] for part in parts])
        np.testing.assert_array_equal(np.sort(together, axis=0), np.sort(whole, axis=0))


def in_step(rank: int, stack: list[Array], own: float, count: float, is_stand_in: bool) -> Exchange:
    """Return the exchange of a process in a step, to which all processes send these rows."""
    group = group_of(rank, len(stack))
    group.allgather_arrays = lambda array: np.stack(stack)
    exchange = Exchange(group, SharedInterrupts())
    exchange.begin_batch(own, count, is_stand_in)
    return exchange


@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.floats(-1e6, 1e6))
def test_statistics_of_parts_are_those_of_the_whole(seed: int, size: int, offset: float) -> None:
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, 5, size)
    stands_in = rng.random(size) < 0.3
    stands_in[0] = False
    parts = [rng.normal(size=(count, 3)) + offset for count in counts]
    rows = [
        np.concatenate([[0 if out else len(part)], *channel_statistics(part)])
        for part, out in zip(parts, stands_in, strict=True)
    ]
    whole = np.concatenate([part for part, out in zip(parts, stands_in, strict=True) if not out])
    count, mean, variance = in_step(0, rows, 1, 1, False).statistics(len(parts[0]), rows[0][1:4], rows[0][4:])
    assert count == len(whole)
    np.testing.assert_allclose(mean, whole.mean(axis=0), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(variance, whole.var(axis=0), rtol=1e-9, atol=1e-9)


@given(st.integers(0, 2**32 - 1), st.integers(1, 5))
def test_streams_differ_and_leave_the_generator_where_it_was(seed: int, size: int) -> None:
    drawn = []
    for rank in range(size):
        rng = np.random.default_rng(seed)
        with own_streams([rng], rank, size):
            drawn.append(rng.integers(1 << 62))
        assert rng.random() == np.random.default_rng(seed).random() or size == 1
    assert len(set(drawn)) == size
