"""The README's programs run, and its commands are the ones that CI and a new user run."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import practice_pictures
import pytest

README = (Path(__file__).parent.parent / "README.md").read_text()
SNIPPETS = re.findall(r"^```python\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


def draw_what_is_read(snippet: str) -> None:
    """Put the reader's own photographs and table, which a snippet reads, into the present folder."""
    if '"photographs"' in snippet:
        practice_pictures.draw_practice_classes(Path("photographs"), count=6)
    if '"table.csv"' in snippet:
        x = np.random.default_rng(0).normal((5.0, -200.0, 0.01), (2.0, 90.0, 0.002), (200, 3))
        table = np.column_stack([x, 300 + 20 * (x[:, 0] - 5) * (x[:, 1] > -200)])
        np.savetxt("table.csv", table, delimiter=",", header="a,b,c,target")


@pytest.mark.parametrize("number", range(len(SNIPPETS)))
def test_snippets_run(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needed = {
        "minidl.sklearn": "sklearn", "import torch": "torch", "safetensors": "safetensors", "onnx": "onnx",
        "minidl.distributed": "mpi4py",
    }  # fmt: skip
    for word, package in needed.items():
        if word in SNIPPETS[number]:
            pytest.importorskip(package)
    monkeypatch.chdir(tmp_path)
    draw_what_is_read(SNIPPETS[number])
    exec(compile(SNIPPETS[number], f"README snippet {number}", "exec"), {})


def test_the_guide_to_models_of_ones_own_data_is_short() -> None:
    guide = [snippet for snippet in SNIPPETS if re.search(r"\"(photographs|table.csv)\"", snippet)]
    guide = [snippet for snippet in guide if "minidl.distributed" not in snippet]
    assert len(guide) == 2
    assert sum(len(snippet.splitlines()) for snippet in guide) <= 40


def test_there_are_snippets_and_the_two_commands() -> None:
    assert SNIPPETS
    commands = re.findall(r"^python3 -m venv .*$", README, re.MULTILINE)
    assert [command.split("&&")[-1].strip() for command in commands] == [
        ".venv/bin/python examples/cats.py",
        ".venv/bin/python -m pytest",
    ]
