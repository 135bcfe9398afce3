"""A run on all processes that `mpiexec` has started, of which process 0 alone prints and writes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

from out_folder import reserved
from photographs import Part, Photographs

if TYPE_CHECKING:
    from minidl.distributed import Group


@contextmanager
def silent_but_for_one(group: Group, out: Path) -> Iterator[None]:
    """Keep the folder for this run, and let process 0 alone print."""
    if group.is_root:
        with reserved(out):
            yield
    else:
        with Path(os.devnull).open("w") as nothing, redirect_stdout(nothing):
            yield


def shares_of(photographs: Photographs, group: Group) -> Photographs:
    """Return the photographs with the share of this process of those to train on and to choose the weights by, read."""
    train, validation = photographs.train, photographs.validation
    return photographs._replace(
        train=_share_of(train, group), validation=None if validation is None else _share_of(validation, group)
    )


def _share_of(part: Part, group: Group) -> Part:
    rows = group.share(len(part.x))
    return Part(part.x[rows], part.y[rows])
