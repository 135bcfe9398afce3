"""The sides of `serving`, each in a process of its own: a network read from its file, and photographs that it answers.

    python -m benchmarks.serving_sides SIDE FOLDER

Nothing here imports a framework before its side is asked for, so that a process holds what this side needs.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Answer: TypeAlias = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""Takes photographs (batch, height, width, 3), returns their probabilities (batch, 1)."""

SIZE, SECONDS, WARMUP = 128, 1.0, 50
THREADS, BATCHES = (1, 2, 4, 8), (2, 8, 64)


def load_minidl(folder: Path) -> Answer:
    import minidl

    model: minidl.Module = minidl.load(folder / "network.npz")
    return model.predict


def load_minidl_without_turns(folder: Path) -> Answer:
    """Let all threads predict at once, which wait for Python's lock in no order."""
    from minidl import _threads

    _threads._turns = _threads.Turns(max(THREADS))
    return load_minidl(folder)


def load_pytorch(folder: Path, threads: int | None = None) -> Answer:
    import torch

    if threads is not None:
        torch.set_num_threads(threads)
    state = torch.load(folder / "network.pt", weights_only=True)
    weights = [array for name, array in state.items() if name.endswith("weight")]
    layers: list[Any] = []
    for weight in weights:
        layers += [torch.nn.Linear(weight.shape[1], weight.shape[0]), torch.nn.ReLU()]
    net = torch.nn.Sequential(*layers[:-1], torch.nn.Sigmoid()).eval()
    net.load_state_dict(state)

    def answer(photographs: NDArray[np.uint8]) -> NDArray[np.float32]:
        with torch.inference_mode():
            probabilities: NDArray[np.float32] = net(torch.from_numpy(photographs).flatten(1).float().div_(255)).numpy()
            return probabilities

    return answer


def load_onnx_runtime(folder: Path, threads: int | None = None) -> Answer:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    if threads is not None:
        options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(folder / "network.onnx", options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def answer(photographs: NDArray[np.uint8]) -> NDArray[np.float32]:
        (probabilities,) = session.run(None, {name: photographs})
        return np.asarray(probabilities)

    return answer


SIDES: Mapping[str, Callable[[Path], Answer]] = {
    "minidl": load_minidl,
    "minidl, in no order": load_minidl_without_turns,
    "PyTorch": load_pytorch,
    "PyTorch, one thread a call": lambda folder: load_pytorch(folder, threads=1),
    "ONNX Runtime": load_onnx_runtime,
    "ONNX Runtime, one thread": lambda folder: load_onnx_runtime(folder, threads=1),
}


def photographs(count: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (count, SIZE, SIZE, 3), dtype=np.uint8)


def seconds_of_calls(answer: Answer, threads: int, batch: int) -> list[list[float]]:
    """Return how long each call took, of each thread; all begin together, and call again at once."""
    begin = Barrier(threads)

    def call(thread: int) -> list[float]:
        own = photographs(batch, seed=thread)
        found = []
        begin.wait()
        now = time.perf_counter()
        end = now + SECONDS
        while now < end:
            answer(own)
            before, now = now, time.perf_counter()
            found.append(now - before)
        return found

    with ThreadPoolExecutor(threads) as executor:
        return list(executor.map(call, range(threads)))


def figures(answer: Answer, threads: int, batch: int) -> dict[str, float]:
    """Return seconds: between the answers that all threads together receive, what a call takes, and on all cores."""
    start = time.process_time()
    calls = seconds_of_calls(answer, threads, batch)
    spent = time.process_time() - start
    median, high = np.quantile(np.concatenate(calls), [0.5, 0.99])
    return {
        "between answers": 1 / sum(len(own) / sum(own) for own in calls),
        "median": float(median),
        "99th percentile": float(high),
        "processor time": spent / sum(map(len, calls)),
    }


def answer_one(side: str, folder: str) -> None:
    """Do what a program does that answers one photograph and ends."""
    print(SIDES[side](Path(folder))(photographs(1)).item())


def serve(side: str, folder: str, threads: int) -> None:
    """Answer in so many threads for a while."""
    seconds_of_calls(SIDES[side](Path(folder)), threads, batch=1)


def main(side: str, folder: str) -> None:
    """Print the figures of each job, as JSON."""
    answer, photograph = SIDES[side](Path(folder)), photographs(1)
    start = time.perf_counter()
    answer(photograph)
    found = {"the first call of a process": {"seconds": time.perf_counter() - start}}
    for _ in range(WARMUP):
        answer(photograph)
    for threads in THREADS:
        job = f"one photograph a call, {threads} thread{'s' if threads > 1 else ''}"
        found[job] = figures(answer, threads, batch=1)
    for batch in BATCHES:
        found[f"{batch} photographs a call, 1 thread"] = figures(answer, 1, batch)
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
