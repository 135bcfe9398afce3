"""The folder that a run writes into, and that no other run may write into at the same time."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    _has_locks = False
else:
    _has_locks = True

CHECKPOINT, SETTINGS, MODEL, HISTORY = "checkpoint.npz", "settings.json", "model.npz", "history.csv"
COST, PREDICTIONS, CONFUSION, WRITTEN = "cost.png", "predictions.png", "confusion.png", "written.txt"
PAGE = "behind.html"

NO_LOCKS = (errno.EBADF, errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)  # network file systems, some of them


def make_folder(folder: Path) -> None:
    """Make a folder, and those that it is in, where they are missing.

    Raises: NotADirectoryError where a file has the name of one of them.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        file = next(path for path in (folder, *folder.parents) if path.exists())
        raise NotADirectoryError(f"--out: expected a folder, received {folder}, where {file} is a file") from None


@contextmanager
def reserved(folder: Path) -> Iterator[None]:
    """Make the folder, check before any work is done that files can be written there, and keep other runs out of it.

    On Windows, and on file systems without locks, other runs are not noticed.

    Raises: OSError where files cannot be written, or another run is writing them.
    """
    make_folder(folder)
    with tempfile.TemporaryFile(dir=folder):
        pass
    for name in (CHECKPOINT, SETTINGS, MODEL, HISTORY, COST, PREDICTIONS, CONFUSION, WRITTEN, PAGE):
        if (folder / name).is_dir():
            raise IsADirectoryError(f"--out: expected a file or nothing at {folder / name}, received a folder")
    with _locked(folder):
        yield


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold a lock on the folder, which ends with the block, and with the process, however that ends."""
    if not _has_locks:
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            hint = "wait for its end, or name another folder"
            raise BlockingIOError(f"--out: another run is writing into {folder}; {hint}") from None
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
        yield
    finally:
        os.close(descriptor)
