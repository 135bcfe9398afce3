"""A process whose trainings are interrupted from outside.

    python -m benchmarks.attacks.interrupted_child FORM FOLDER COUNT

For each of so many runs it prints a line `ready SECONDS`, trains, reads a line with the time of the first signal, which
means that all have been sent, and prints in JSON how it ended and what was lost.
"""

from __future__ import annotations

import json
import sys
import time
from functools import partial
from pathlib import Path

from benchmarks.attacks.interrupted_run import Outside, judged, reference, train
from benchmarks.attacks.jobs import Job

WAIT = 5.0  # seconds for a signal that has been sent to arrive


def _note(ends: list[float]) -> None:
    ends.append(time.monotonic())


def main(form: str, folder: str, count: int) -> None:
    outside, path = Outside(), Path(folder, "run.ckpt")
    outside.start()
    right, seconds = reference(form, path)
    for _ in range(count):
        job, ends = Job(form), list[float]()
        outside.count = 0
        print(f"ready {seconds}", flush=True)
        ended = train(job, path, outside, partial(_note, ends))
        pressed = float(sys.stdin.readline())
        kind, problems = judged(ended, path, right, later=sum(end > pressed for end in ends))
        if kind == "signal after fit" and not outside.seen_within(WAIT):
            problems.append("the signal came during fit, which says nothing of it")
        print(json.dumps([kind, problems]), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
