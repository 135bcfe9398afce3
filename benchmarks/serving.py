"""A service that answers photographs, 128 x 128 uint8 pixels, with the article's network.

    python -m benchmarks.serving

Each side reads the network from a file in a process of its own, the sides in turn. Its threads call again as soon as
they have an answer, for a second, each with a photograph of its own, from pixels to a NumPy array. PyTorch, in
evaluation mode under `inference_mode`, and ONNX Runtime are measured with as many threads for a call as they take by
themselves, and with one; NumPy's BLAS has as many as it takes by itself. minidl is also measured in no order, without
the turns of `minidl/_threads.py`. "Between answers" is the inverse of the throughput of all threads together; the
processor time of a call is that of all cores. A process that answers one photograph is measured from its start to its
end, with Python's own.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from benchmarks.comparison import Comparison, Measurement, Target, compare, timed
from benchmarks.machine import peer
from benchmarks.processes import added_memory, output_of, peak_memory
from benchmarks.report import show
from benchmarks.serving_sides import SIDES, THREADS
from minidl import Flatten, Rescale, Sequential, mlp, save

DIMS, REPETITIONS, MODULE = [49152, 20, 7, 5, 1], 5, "benchmarks.serving_sides"
TARGETS = {
    (f"one photograph a call, {threads}", figure): Target(at_least=bound)
    for threads in ("1 thread", "8 threads")
    for figure, bound in (("between answers", 1.2), ("99th percentile", 1.0))
}

Figures: TypeAlias = Mapping[str, Mapping[str, float]]
"""Figures by their names, of each job."""


def measure() -> Iterable[Comparison]:
    with tempfile.TemporaryDirectory() as name:
        sides = write_networks(Path(name))
        yield from comparisons([{side: figures(side, name) for side in sides} for _ in range(REPETITIONS)])

        def rivals(measurement: Callable[[str], Measurement]) -> dict[str, Measurement | None]:
            return {side: measurement(side) if side in sides else None for side in SIDES}

        def calls(side: str, threads: int) -> str:
            return f"serve({side!r}, {name!r}, {threads})"

        def one(side: str) -> str:
            return f"answer_one({side!r}, {name!r})"

        def start(side: str) -> Measurement:
            return timed(lambda: output_of(f"from {MODULE} import answer_one; {one(side)}"))

        def memory_of_threads(side: str) -> Measurement:
            return added_memory(MODULE, calls(side, 1), calls(side, max(THREADS)))

        job = "a process that answers one photograph"
        yield compare(job, rivals(start), REPETITIONS)
        memory = rivals(lambda side: peak_memory(MODULE, one(side)))
        yield compare(f"{job}: peak memory", memory, 3, unit="MB", warmup=0)
        job = f"what {max(THREADS)} threads add to the peak memory of one"
        yield compare(job, rivals(memory_of_threads), 3, unit="MB", warmup=0)


def write_networks(folder: Path) -> list[str]:
    """Write the network into a file for each framework that is installed, and return the sides that have one."""
    network = mlp(DIMS, rng=0)
    model = Sequential(Rescale(), Flatten(), *network)
    save(model, folder / "network.npz")
    written = {"minidl"}
    torch = peer("torch")
    if torch is not None:
        state = {name: torch.from_numpy(array) for name, array in network.state_dict().items()}
        torch.save(state, folder / "network.pt")
        written.add("PyTorch")
    if peer("onnxruntime") is not None and peer("onnx") is not None:
        from minidl.interchange import to_onnx

        to_onnx(model, folder / "network.onnx", input_shape=(128, 128, 3))
        written.add("ONNX Runtime")
    return [side for side in SIDES if side.partition(",")[0] in written]


def figures(side: str, folder: str) -> Figures:
    """Return what a fresh process measures."""
    found: Figures = json.loads(output_of(f"import sys; from {MODULE} import main; main(*sys.argv[1:])", side, folder))
    return found


def comparisons(repetitions: Sequence[Mapping[str, Figures]]) -> Iterable[Comparison]:
    """Yield a comparison of each figure of each job, from the figures of the sides in each repetition."""
    for job, names in repetitions[0]["minidl"].items():
        for name in names:
            values = {side: [found[side][job][name] for found in repetitions if side in found] for side in SIDES}
            target = TARGETS.get((job, name))
            targets = {} if target is None else dict.fromkeys((side for side in SIDES if "minidl" not in side), target)
            yield Comparison(f"{job}: {name}", "s", values, targets)


if __name__ == "__main__":
    show(measure())
