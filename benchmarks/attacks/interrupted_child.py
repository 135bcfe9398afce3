"""A process whose trainings are interrupted from outside.

    python -m benchmarks.attacks.interrupted_child FORM FOLDER COUNT

For each of so many runs it prints a line `ready SECONDS`, trains, reads a line, which says that all signals have been
sent, and prints in JSON how it ended and what was lost.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from benchmarks.attacks.interrupted_run import Outside, judged, reference, train
from benchmarks.attacks.jobs import Job

WAIT = 5.0  # seconds for a signal that has been sent to arrive


def main(form: str, folder: str, count: int) -> None:
    outside, path = Outside(), Path(folder, "run.ckpt")
    outside.start()
    right, seconds = reference(form, path)
    for _ in range(count):
        job = Job(form)
        outside.count = 0
        print(f"ready {seconds}", flush=True)
        ended = train(job, path, outside)
        sys.stdin.readline()
        kind, problems = judged(ended, path, right)
        if kind == "signal after fit" and not outside.seen_within(WAIT):
            problems.append("the signal came during fit, which says nothing of it")
        print(json.dumps([kind, problems]), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
