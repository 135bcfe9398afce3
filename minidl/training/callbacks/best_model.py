"""BestModel: the model file of the best epoch."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from minidl._files import FilePath
from minidl.archive import as_json
from minidl.model_file import save
from minidl.training.callbacks._monitoring import Monitoring
from minidl.training.run import Run


class BestModel(Monitoring):
    """Writes the model into a file after each epoch whose metric is the best so far, over the one before.

    The metric's own direction counts. The file is what `minidl.save` writes, complete or not there at any moment.
    A metric of a full batch of training samples is measured before the update: the weights written are then those
    that had it, from the beginning of the epoch.

    Arguments: `metadata` goes into the file, as that of `minidl.save`.

    Raises: before the first epoch, ValueError for a `monitor` that this run does not measure and FileNotFoundError
    where the file's folder is missing; ValueError for metadata that is not JSON; as `minidl.save` does.

    >>> BestModel("best.npz", monitor="val_accuracy", class_names=["cat", "other"])
    BestModel('best.npz', monitor='val_accuracy')
    """

    on_one_process = True

    def __init__(self, path: FilePath, monitor: str = "val_loss", **metadata: Any) -> None:
        self.path = Path(path)
        self.metadata = as_json(metadata, "BestModel metadata")
        super().__init__(monitor)
        self._before_epoch: Mapping[str, Any] | None = None

    def on_fit_begin(self, run: Run) -> None:
        """Refuse a metric that is not measured and a folder that does not exist before any work is done."""
        super().on_fit_begin(run)
        if not self.path.parent.is_dir():
            raise FileNotFoundError(f"BestModel path: there is no folder {self.path.parent}")
        self._before_epoch = run.snapshot()["model"] if run.measures_before_update(self.monitor) else None

    def on_epoch_end(self, run: Run, epoch: int, metrics: Mapping[str, float]) -> None:
        """Write, where the epoch is the best so far."""
        if self.has_improved(epoch, metrics):
            model = run.model
            if self._before_epoch is not None:
                model = copy.deepcopy(model)
                model.load_state_dict(self._before_epoch)
            with run.interrupts.deferred():  # Ctrl-C while the archive is being closed would leave half a file.
                save(model, self.path, **self.metadata)
        if self._before_epoch is not None:
            self._before_epoch = run.snapshot()["model"]

    def on_fit_end(self, run: Run) -> None:
        """Drop the copy of the weights."""
        self._before_epoch = None

    def __repr__(self) -> str:
        return f"BestModel({str(self.path)!r}, monitor={self.monitor!r})"
