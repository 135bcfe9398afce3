"""Loading the share of one process."""

from __future__ import annotations

from dataclasses import replace

from minidl.data import ImageDataset
from minidl.distributed.group import Group


def load_share(dataset: ImageDataset, group: Group | None = None) -> ImageDataset:
    """Return the pictures of this process, decoded, out of those of a set that `open_image_folders` has found.

    Each process decodes its own pictures alone; see `Group.share` for which these are.

    Raises: ImageFileError for the first of them that cannot be read.

    >>> import tempfile
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> from minidl.data import open_image_folders
    >>> with tempfile.TemporaryDirectory() as root:
    ...     for name in ("cats", "others"):
    ...         Path(root, name).mkdir()
    ...         Image.new("RGB", (32, 24)).save(f"{root}/{name}/one.png")
    ...     dataset = load_share(open_image_folders(root, size=(8, 8)))
    >>> dataset.images.shape, dataset.labels.tolist()
    ((2, 8, 8, 3), [0, 1])
    """
    rows = (group or Group()).share(len(dataset))
    return replace(dataset, images=dataset.images[rows], labels=dataset.labels[rows], paths=dataset.paths[rows])
