"""Files that are either wholly the old ones or wholly the new ones, whatever happens while they are written."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TypeAlias

FilePath: TypeAlias = str | os.PathLike[str]


@contextmanager
def atomic_write(path: FilePath) -> Iterator[BinaryIO]:
    """Yield a binary file that takes the place of `path` once the `with` block has ended well.

    The bytes go to a temporary name in the same folder, are flushed to the disk, and only then get the name `path`:
    a reader, or a machine that loses its power, sees the old file or the new one. Where the block or the writing
    fails, the temporary file is removed and the old file stays. A symbolic link goes on pointing at its target, which
    is replaced.

    Raises: OSError where the folder does not exist or cannot be written.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with atomic_write(f"{folder}/a.bin") as file:
    ...         _ = file.write(b"new")
    ...     [(entry.name, entry.read_bytes()) for entry in Path(folder).iterdir()]
    [('a.bin', b'new')]
    """
    path = Path(os.path.realpath(path))
    temporary = path.with_name(f".{path.name}.{os.urandom(4).hex()}.tmp")
    file = temporary.open("xb")
    try:
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)  # noqa: PTH105 - the name of the system call that makes this atomic
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Flush the folder's table of names, without which a power cut could undo the renaming."""
    if os.name == "nt":  # Windows neither needs it nor can open a folder
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
