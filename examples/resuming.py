"""Runs that can be resumed: the last checkpoint, and the settings that a resumed run must repeat."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from out_folder import CHECKPOINT, SETTINGS

from minidl import Trainer


def begin_or_resume(
    trainer: Trainer,
    out: Path,
    settings: Mapping[str, Any],
    data: Mapping[str, str],
    *,
    resume: bool,
    writes: bool = True,
) -> None:
    """Write the settings of a new run, or load the checkpoint of a run with the same settings into the trainer.

    Arguments: `settings` are options by name; `data` is what was read and its digest, such as `{"photographs": "..."}`;
    a process that does not write, as another one does, leaves the folder as it is.

    Raises: ValueError for settings or data of another run; OSError where there is none.
    """
    checkpoint, settings_file = out / CHECKPOINT, out / SETTINGS
    if not resume and not writes:
        return
    if not resume:
        checkpoint.unlink(missing_ok=True)  # one of an earlier run does not belong to these settings
        settings_file.write_text(json.dumps({**settings, **data}, indent=1) + "\n", encoding="utf-8")
        return
    if not checkpoint.exists():
        raise FileNotFoundError(f"--resume: there is no {checkpoint} to go on from")
    before = _read_settings(settings_file)
    for name, value in settings.items():
        if before.get(name) != value:
            option = f"--{name.replace('_', '-')}"
            raise ValueError(f"--resume: the run in {out} has {option} {before.get(name)}, received {value}")
    for name, digest in data.items():
        if before.get(name) != digest:
            raise ValueError(f"--resume: expected the {name} of the run in {out}, received others")
    trainer.resume(checkpoint)


def _read_settings(path: Path) -> dict[str, Any]:
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"--resume: the settings of the run cannot be read from {path}: {error}") from error
    if not isinstance(settings, dict):
        raise ValueError(f"--resume: expected settings by name in {path}, received {type(settings).__name__}")
    return settings
