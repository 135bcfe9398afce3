"""Files that are either wholly the old ones or wholly the new ones, whatever happens while they are written."""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, TypeAlias
from zlib import crc32

FilePath: TypeAlias = str | os.PathLike[str]

ABANDONED = 60  # seconds after its last write from which on the temporary file of a process that is gone is removed


@contextmanager
def atomic_write(path: FilePath) -> Iterator[BinaryIO]:
    """Yield a binary file that takes the place of `path` once the `with` block has ended well.

    The bytes go to a temporary name in the same folder, are flushed to the disk, and only then get the name `path`:
    a reader, or a machine that loses its power, sees the old file or the new one. Where the block or the writing
    fails, the temporary file is removed and the old file stays. The new file has the mode of the one that it
    replaces. A symbolic link goes on pointing at its target, which is replaced. Temporary files that killed processes
    have left for the same path are removed.

    Raises: OSError that names `path` where its folder does not exist, where the disk is full or fails, or where
    something stands at `path` that is no regular file, such as a pipe or a device.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with atomic_write(f"{folder}/a.bin") as file:
    ...         _ = file.write(b"new")
    ...     [(entry.name, entry.read_bytes()) for entry in Path(folder).iterdir()]
    [('a.bin', b'new')]
    """
    target = Path(os.path.realpath(path))
    mode = _mode_of(target, path)
    prefix = f".minidl-{crc32(os.fsencode(target.name)):08x}-"  # of a fixed length: the name itself may leave no room
    temporary = target.with_name(f"{prefix}{os.urandom(4).hex()}.tmp")
    try:
        with temporary.open("xb") as file:
            _lock(file)
            if mode is not None and hasattr(os, "fchmod"):
                os.fchmod(file.fileno(), mode)
            yield file
            file.flush()
            os.fsync(file.fileno())
            os.replace(temporary, target)  # noqa: PTH105 - the name of the system call that makes this atomic
        _sync_folder(target.parent)
    except OSError as error:
        _remove(temporary)
        if error.errno is None or error.filename not in (None, os.fspath(temporary)):
            raise  # an error of Python's own, or of another file that the block has read
        raise OSError(error.errno, error.strerror, str(path)) from error
    except BaseException:
        _remove(temporary)
        raise
    _remove_abandoned(target.parent, prefix)


def check_regular(path: FilePath) -> None:
    """Raise an OSError that names `path` where something other than a regular file or a folder stands there.

    Opening a pipe may wait for ever, and a device may have no end.
    """
    kind = os.stat(path).st_mode  # noqa: PTH116 - like open(), it takes a str
    if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):
        raise OSError(errno.EINVAL, f"expected a regular file, received {_kind(kind)}", str(path))


def _mode_of(target: Path, path: FilePath) -> int | None:
    """Return the mode of the file that is to be replaced, None where there is none."""
    try:
        mode = target.stat().st_mode
    except FileNotFoundError:
        return None
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, f"expected a regular file or none, received {_kind(mode)}", str(path))
    return stat.S_IMODE(mode)


def _kind(mode: int) -> str:
    kinds = ((stat.S_ISFIFO, "a named pipe"), (stat.S_ISSOCK, "a socket"), (stat.S_ISCHR, "a device"))
    return next((name for is_kind, name in kinds if is_kind(mode)), "a block device")


def _remove(temporary: Path) -> None:
    with suppress(OSError):  # it may not exist, and no error about it says more than the one that has led here
        temporary.unlink()


def _lock(file: BinaryIO) -> None:
    """Mark a temporary file as in use, until it is closed or its process is gone."""
    try:
        import fcntl
    except ImportError:  # Windows does not remove a file that is open
        return
    with suppress(OSError):  # a file system without locks: only the age of the file protects it then
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _remove_abandoned(folder: Path, prefix: str) -> None:
    """Remove the temporary files of the same path whose writers are gone."""
    with suppress(OSError), os.scandir(folder) as entries:  # what another process removes first is gone as well
        for entry in entries:
            if entry.name.startswith(prefix) and entry.name.endswith(".tmp"):
                with suppress(OSError):
                    if time.time() - entry.stat(follow_symlinks=False).st_mtime > ABANDONED:
                        _remove_unlocked(Path(entry.path))


def _remove_unlocked(path: Path) -> None:
    with path.open("rb") as file:
        try:
            import fcntl
        except ImportError:
            pass
        else:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # BlockingIOError, an OSError: its writer is alive
    path.unlink()


def _sync_folder(folder: Path) -> None:
    """Flush the folder's table of names, without which a power cut could undo the renaming."""
    if os.name == "nt":  # Windows neither needs it nor can open a folder
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
