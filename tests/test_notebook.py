"""Notebooks: what a real kernel shows of training, histories, models, reports and photographs, and Ctrl-C in a cell."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import minidl

for module in ("nbclient", "ipykernel", "ipywidgets", "tqdm"):
    pytest.importorskip(module)

CELLS = {
    "parts": """
import signal, sys
from pathlib import Path
import numpy as np
from PIL import Image
from minidl import SGD, BinaryCrossEntropy, Callback, Trainer, classification_report, mlp
from minidl.data import load_image_folders

rng = np.random.default_rng(0)
x = rng.standard_normal((60, 4)).astype(np.float32)
y = (x[:, 0] > 0).astype(int)
model = mlp([4, 8, 1], rng=0)
trainer = Trainer(model, BinaryCrossEntropy(), SGD(model.parameters(), 0.1))

class At(Callback):
    def __init__(self, stop):
        self.stop = stop
    def on_batch_end(self, run, batch, record):
        if (run.epoch, batch) == (2, 1):
            self.stop()

def interrupt():
    raise KeyboardInterrupt
""",
    "samples": "history = trainer.fit(x, y, 5, batch_size=20, rng=0)",
    "epochs": "trainer.fit(x, y, 7, validation_data=(x, y))",
    "silence": "trainer.fit(x, y, 2, print_every=None).epochs",
    "history": "history",
    "model": "model",
    "report": "classification_report(model, x, y, ['<left>', 'right'])",
    "pictures": """
for name, brightness in {"cats & dogs": 200, "others": 50}.items():
    folder = Path("pictures", name)
    folder.mkdir(parents=True)
    Image.new("RGB", (8, 8), (brightness, 0, 0)).save(folder / "a.png")
load_image_folders("pictures", 8)
""",
    "raised": "trainer.fit(x, y, 9, batch_size=20, rng=0, callbacks=[At(interrupt)])",
    "signal": "trainer.fit(x, y, 9, batch_size=20, rng=0, callbacks=[At(lambda: signal.raise_signal(signal.SIGINT))])",
    "handler": "signal.getsignal(signal.SIGINT) is signal.default_int_handler",
    "afterwards": "trainer.fit(x, y, 4, batch_size=20, rng=0).interrupted",
    "without tqdm": """
sys.modules["tqdm"] = sys.modules["tqdm.auto"] = None
trainer.fit(x, y, 3, batch_size=20, rng=0).epochs
""",
}
# In a process of its own: the warnings of nbclient and of what it uses are not this suite's errors.
EXECUTE = """
import sys
import nbformat
from nbclient import NotebookClient

notebook = nbformat.read("notebook.ipynb", as_version=4)
NotebookClient(notebook, timeout=60).execute()
nbformat.write(notebook, "notebook.ipynb")
"""
VIEW, STATE = "application/vnd.jupyter.widget-view+json", "application/vnd.jupyter.widget-state+json"


class Executed:
    """A notebook after its execution."""

    def __init__(self, notebook: dict[str, Any]) -> None:
        self.outputs = {cell["id"].replace("-", " "): cell["outputs"] for cell in notebook["cells"]}
        self.widgets = notebook["metadata"]["widgets"][STATE]["state"]

    def data(self, name: str, kind: str) -> list[Any]:
        """Return what a cell shows of one MIME type, as text where it is text."""
        found = [output["data"][kind] for output in self.outputs[name] if kind in output.get("data", {})]
        return ["".join(data) if isinstance(data, list) else data for data in found]

    def html(self, name: str) -> str:
        (text,) = self.data(name, "text/html")
        return str(text)

    def plain(self, name: str) -> str:
        return str(self.data(name, "text/plain")[-1])

    def text(self, name: str) -> str:
        """Return what a cell has written to its streams."""
        return "".join(part for output in self.outputs[name] for part in output.get("text", ""))

    def bar(self, name: str) -> tuple[str, dict[str, Any], str]:
        """Return the text on the left of a cell's bar, the state of the bar, and the text on its right."""
        (view,) = self.data(name, VIEW)
        box = self.widgets[view["model_id"]]["state"]
        left, bar, right = (self.widgets[child.removeprefix("IPY_MODEL_")]["state"] for child in box["children"])
        return left["value"].replace("\u2007", " "), bar, right["value"].replace("\u2007", " ")


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> Executed:
    folder = tmp_path_factory.mktemp("notebook")
    kernel = folder / "jupyter" / "kernels" / "python3"
    kernel.mkdir(parents=True)
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec = {"argv": argv, "display_name": "Python", "language": "python"}
    (kernel / "kernel.json").write_text(json.dumps(spec))
    code: dict[str, Any] = {"cell_type": "code", "metadata": {}, "execution_count": None, "outputs": []}
    cells = [{**code, "id": name.replace(" ", "-"), "source": source} for name, source in CELLS.items()]
    notebook = {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": cells}
    (folder / "notebook.ipynb").write_text(json.dumps(notebook))
    own = {  # neither kernels nor settings of the user who runs the tests
        "HOME": str(folder), "IPYTHONDIR": str(folder / "ipython"), "JUPYTER_PATH": str(folder / "jupyter"),
        "JUPYTER_CONFIG_DIR": str(folder / "config"), "JUPYTER_DATA_DIR": str(folder / "data"),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"), "PYTHONPATH": str(Path(minidl.__file__).parents[1]),
    }  # fmt: skip
    result = subprocess.run(
        [sys.executable, "-c", EXECUTE], cwd=folder, env={**os.environ, **own}, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    return Executed(json.loads((folder / "notebook.ipynb").read_text(encoding="utf-8")))


def test_nothing_is_written_beside_the_bar(executed: Executed) -> None:
    assert {name for name in CELLS if executed.text(name)} == {"without tqdm"}


def test_a_bar_over_samples(executed: Executed) -> None:
    left, bar, right = executed.bar("samples")
    assert left == "epoch 5/5: 100%"
    assert (bar["value"], bar["max"], bar["bar_style"]) == (300, 300, "success")
    assert right.startswith(" 300/300 [")
    assert "sample/s, loss=0." in right


def test_a_bar_over_full_batches(executed: Executed) -> None:
    left, bar, right = executed.bar("epochs")
    assert left == "100%"
    assert (bar["value"], bar["max"], bar["bar_style"]) == (7, 7, "success")
    assert right.startswith(" 7/7 [")
    assert "loss=0." in right
    assert "val_accuracy=" in right


def test_no_bar_where_none_is_wanted(executed: Executed) -> None:
    assert executed.data("silence", VIEW) == []
    assert executed.plain("silence") == "2"


def test_a_history_is_drawn(executed: Executed) -> None:
    assert executed.plain("history") == "History(loss, accuracy, seconds; 5 epochs)"
    html = executed.html("history")
    assert html.startswith("<div><p>History(loss, accuracy, seconds; 5 epochs)</p>")
    assert html.count("<svg ") == html.count("<polyline ") == 2
    assert executed.html("epochs").count("<polyline ") == 4


def test_a_model_is_a_table(executed: Executed) -> None:
    html = executed.html("model")
    assert "<table>" in html
    assert "Dense(4 -&gt; 8)" in html
    assert "Dense" in executed.plain("model")


def test_a_report_is_a_table(executed: Executed) -> None:
    html = executed.html("report")
    assert "<table>" in html
    assert "<th>&lt;left&gt;</th>" in html
    assert "<left>" not in html


def test_photographs_are_shown(executed: Executed) -> None:
    html = executed.html("pictures")
    assert html.count('<img src="data:image/') == 2
    assert "cats &amp; dogs" in html
    assert executed.plain("pictures").startswith("ImageDataset(2 pictures 8 x 8")


@pytest.mark.parametrize("name", ["raised", "signal"])
def test_an_interrupted_cell_keeps_whole_epochs(name: str, executed: Executed) -> None:
    assert executed.plain(name) == "History(loss, accuracy, seconds; 2 epochs, interrupted)"
    left, bar, _ = executed.bar(name)
    assert left.startswith("epoch 2/9")
    assert (bar["value"], bar["max"], bar["bar_style"]) == (120, 540, "danger")


def test_the_notebook_goes_on_after_an_interrupted_cell(executed: Executed) -> None:
    assert executed.plain("handler") == "True"
    assert executed.plain("afterwards") == "False"
    assert executed.bar("afterwards")[1]["value"] == 240


def test_lines_without_tqdm(executed: Executed) -> None:
    lines = executed.text("without tqdm").splitlines()
    assert [line.partition(":")[0] for line in lines] == [f"Cost after epoch {i}" for i in range(3)]
    assert executed.data("without tqdm", VIEW) == []
    assert executed.plain("without tqdm") == "3"
