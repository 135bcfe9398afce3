"""TensorBoard: the metrics of a run as event files, which TensorBoard draws while it trains."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from minidl._files import FilePath
from minidl.training.callbacks.callback import Callback
from minidl.training.run import Run


class TensorBoard(Callback):
    """Writes the metrics of each epoch, and its learning rate, for TensorBoard (`tensorboard --logdir FOLDER`).

    Those of the training samples, `learning_rate` and `seconds` are in the sub-folder `train`, those of the validation
    samples under the same names, without `val_`, in `validation`: TensorBoard draws both in one chart. The step is the
    number of the epoch, from 0, as in the history, which TensorBoard then equals: a resumed run goes on at its own
    epoch, and a run that begins anew takes the place of one that was there. Give each run that is to be compared a
    folder of its own. The learning rate is that at the end of the epoch, before a schedule of epochs sets the next.
    Numbers are kept in float32; those too large for it become infinity.

    Arguments: `folder` is made where it is missing, with those above it.

    Raises: before the first epoch, ImportError where tensorboard, the extra `tensorboard`, is not installed, and
    FileExistsError where something else stands in the place of a folder; OSError where an event cannot be written.

    Source: the event files are written through the `tensorboard` package, which needs no other framework.

    >>> TensorBoard("runs/first")
    TensorBoard('runs/first')
    """

    on_one_process = True

    def __init__(self, folder: FilePath) -> None:
        self.folder = Path(folder)
        self._paths: dict[str, Path] = {}  # of the event files of this run, by sub-folder
        self._written = 0  # epochs

    def on_fit_begin(self, run: Run) -> None:
        """Refuse what cannot work, and go on from the epoch that the run goes on from."""
        _event_module()
        self._paths, self._written = {}, run.epoch
        has_validation = any(name.startswith("val_") for name in run.metric_names)
        for name in ("train", "validation"):
            folder = self.folder / name
            if name == "train" or has_validation or folder.is_dir():  # of a run before, whose place this one takes
                _make_folder(folder)
                # Readers take the files in the order of their names.
                self._paths[name] = folder / f"events.out.tfevents.{time.time_ns():019d}.minidl"

    def on_epoch_end(self, run: Run, epoch: int, metrics: Mapping[str, float]) -> None:
        """Write the epoch."""
        self._write(run)

    def on_fit_end(self, run: Run) -> None:
        """Write the last epoch, where Ctrl-C came between its end and `on_epoch_end`."""
        self._write(run)

    def _write(self, run: Run) -> None:
        """Write the last completed epoch, unless that has been tried."""
        if self._written == run.epoch:
            return
        scalars: dict[str, dict[str, float]] = {name: {} for name in self._paths}
        for name, value in {"learning_rate": run.optimizer.learning_rate, **run.metrics}.items():
            is_validation = name.startswith("val_") and "validation" in scalars
            scalars["validation" if is_validation else "train"][name.removeprefix("val_" * is_validation)] = value
        with run.interrupts.deferred():  # Ctrl-C would leave half a record.
            self._written = run.epoch
            for name, path in self._paths.items():
                _append(path, run.epoch - 1, scalars[name])

    def __repr__(self) -> str:
        return f"TensorBoard({str(self.folder)!r})"


def _event_module() -> Any:
    """Return the module of the official package that defines what an event file holds."""
    try:
        from tensorboard.compat.proto import event_pb2
    except ImportError:
        raise ImportError("TensorBoard needs tensorboard: pip install 'minidl[tensorboard]'") from None
    return event_pb2


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        obstacle = next((path for path in (*reversed(folder.parents), folder) if not path.is_dir()), folder)
        raise FileExistsError(
            f"TensorBoard folder: expected a folder or nothing at {obstacle}, received a file"
        ) from None


def _append(path: Path, step: int, scalars: Mapping[str, float]) -> None:
    """Append one epoch to an event file; a new one says from which step on it takes the place of the files before it.

    The file is open only while it is written, so that nothing is left to be closed or lost however the run ends.
    """
    from tensorboard.summary.writer.record_writer import RecordWriter

    module, now = _event_module(), time.time()
    event = module.Event(wall_time=now, step=step)
    with np.errstate(all="ignore"):
        for name, number in scalars.items():
            event.summary.value.add(tag=name, simple_value=float(np.float32(number)))
    events = [event]
    if not path.exists():
        start = module.SessionLog(status=module.SessionLog.START)
        version = module.Event(wall_time=now, file_version="brain.Event:2")
        events = [version, module.Event(wall_time=now, step=step, session_log=start), event]
    try:
        with path.open("ab") as file:
            writer = RecordWriter(file)
            for each in events:
                writer.write(each.SerializeToString())
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
