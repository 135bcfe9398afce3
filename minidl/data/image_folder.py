"""Photographs from folders, one folder a class, as one array of pixels or as one that decodes on demand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np

from minidl._typing import Array
from minidl._validation import shown
from minidl.data._folders import Folders, check_callable, class_names_of, find_files, folders_of
from minidl.data._image_opening import opened
from minidl.data.image_file import Size, decode, picture_size
from minidl.data.image_html import html_of
from minidl.data.lazy_images import LazyImages
from minidl.errors import ImageFileError
from minidl.ops.parallel import in_threads

OnError: TypeAlias = Literal["skip", "raise"]
FileProgress: TypeAlias = Callable[[int, int], object]
Skipped: TypeAlias = tuple[tuple[Path, str], ...]
NAMED = 10  # classes in the `repr`


@dataclass(frozen=True, repr=False)
class ImageDataset:
    """Pictures of one size with their labels.

    `images` is uint8 (n, height, width, 3), an array or `LazyImages`; `labels` int64 (n,), with `class_names[label]`
    the class's name; `paths` has one entry a picture, and `skipped` lists what could not be read, as (path, reason).
    Notebooks show it with a few thumbnails of each class.
    """

    images: Any
    labels: Array
    class_names: tuple[str, ...]
    paths: tuple[Path, ...]
    skipped: Skipped

    def __len__(self) -> int:
        return len(self.images)

    @property
    def class_counts(self) -> dict[str, int]:
        """How many pictures each class has, by name, in the order of the labels."""
        counts = np.bincount(self.labels, minlength=len(self.class_names))
        return dict(zip(self.class_names, counts.tolist(), strict=True))

    def __repr__(self) -> str:
        counts = [f"{count} {shown(name)}" for name, count in self.class_counts.items()]
        more = [f"{len(counts) - NAMED} more classes"] if len(counts) > NAMED else []
        size = " x ".join(map(str, self.images.shape[1:3]))
        skipped = f", {len(self.skipped)} skipped" if self.skipped else ""
        return f"ImageDataset({len(self)} pictures {size}: {', '.join([*counts[:NAMED], *more])}{skipped})"

    def _repr_html_(self) -> str:
        return html_of(self)


def load_image_folders(
    folders: Folders,
    size: Size = (128, 128),
    positive: str | None = None,
    on_error: OnError = "skip",
    progress: FileProgress | None = None,
) -> ImageDataset:
    """Read every picture below the folders and resize it to one size, on all cores.

    Arguments: `folders` maps a class's name to its folder, or is the folder that holds one folder for each class, whose
    names are the classes', in their order. Sub-folders are read too, and links followed, to each folder once; names
    that begin with a dot are not read. `size` is (height, width) in pixels, or one number for both; pictures are
    squeezed to it, not cropped. `positive` names the one of two classes that gets label 1; without it, labels number
    the folders in their order. `on_error` says whether a file that is no readable picture, or a link into the folder
    of another class, is listed in `.skipped` or raised as an `ImageFileError` (the first in order). `progress(done,
    total)` is called after each file.

    Order: folder by folder as given, sorted by path in each; the same folders always give the same arrays.

    Raises: ValueError for fewer than two folders, one given twice, a wrong `size`, an unknown `positive` or `on_error`,
    or a folder without a readable picture; TypeError for `folders` that are none and for a `progress` that cannot be
    called; FileNotFoundError or NotADirectoryError for a folder that is none; OSError for one that may not be read.

    >>> import tempfile
    >>> from PIL import Image
    >>> with tempfile.TemporaryDirectory() as root:
    ...     for name in ("cats", "others"):
    ...         Path(root, name).mkdir()
    ...         Image.new("RGB", (32, 24)).save(f"{root}/{name}/one.png")
    ...     dataset = load_image_folders({"cat": f"{root}/cats", "other": f"{root}/others"}, size=(8, 8))
    >>> dataset.images.shape, dataset.labels.tolist(), dataset.class_names
    ((2, 8, 8, 3), [0, 1], ('cat', 'other'))
    """
    height, width = picture_size(size)
    files = _Files(folders, positive, on_error, progress)
    images = np.empty((len(files.paths), height, width, 3), np.uint8)

    def read(row: int) -> None:
        images[row] = decode(files.paths[row], (height, width))

    skipped = files.visit(read)
    kept = [row for row in range(len(images)) if row not in skipped]
    for target, source in enumerate(kept):
        if target != source:
            images[target] = images[source]
    return files.dataset(images[: len(kept)], skipped)


def open_image_folders(
    folders: Folders,
    size: Size = (128, 128),
    positive: str | None = None,
    on_error: OnError = "skip",
    progress: FileProgress | None = None,
    cache_bytes: int = 1 << 28,
) -> ImageDataset:
    """Find every picture below the folders, to be decoded when it is asked for.

    For sets larger than memory: `.images` is a `LazyImages`, which `Trainer.fit` takes with a `batch_size`. Only the
    files' headers are read here, so that files that are no pictures are known at once; a picture whose pixels turn out
    broken raises its `ImageFileError` later, when its turn comes.

    Arguments, order and errors are those of `load_image_folders`; `cache_bytes`, 256 MB, is that of `LazyImages`: of
    pictures of 64 x 64 pixels 21,845 are decoded once.

    >>> import tempfile
    >>> from PIL import Image
    >>> with tempfile.TemporaryDirectory() as root:
    ...     for name in ("cats", "others"):
    ...         Path(root, name).mkdir()
    ...         Image.new("RGB", (32, 24)).save(f"{root}/{name}/one.png")
    ...     dataset = open_image_folders({"cat": f"{root}/cats", "other": f"{root}/others"}, size=(8, 8))
    ...     print(dataset.images, dataset.images[:1].shape)
    LazyImages(2 pictures, size=(8, 8)) (1, 8, 8, 3)
    """
    size = picture_size(size)
    files = _Files(folders, positive, on_error, progress)

    def check(row: int) -> None:
        with opened(files.paths[row]):
            pass

    skipped = files.visit(check)
    kept = [path for row, path in enumerate(files.paths) if row not in skipped]
    return files.dataset(LazyImages(kept, size, cache_bytes), skipped)


class _Files:
    """The files below the folders, each with its label, in order, and what is to be done about them."""

    def __init__(
        self, folders: Folders, positive: str | None, on_error: OnError, progress: FileProgress | None
    ) -> None:
        if not isinstance(on_error, str) or on_error not in ("skip", "raise"):
            raise ValueError(f"on_error: expected 'skip' or 'raise', received {shown(on_error)}")
        self.on_error, self.progress = on_error, check_callable(progress, "progress")
        self.folders = folders_of(folders, "folders")
        self.class_names = class_names_of(self.folders, positive)
        found = find_files(self.folders)
        self.paths = [file.path for file in found]
        self.problems = [file.problem for file in found]
        self.labels = np.array([self.class_names.index(file.name) for file in found], np.int64)

    def visit(self, look: Callable[[int], None]) -> dict[int, str]:
        """Call `look(row)` for every file, and return why not for those rows that are no readable picture."""

        def failure(row: int) -> ImageFileError | None:
            if self.problems[row]:
                return ImageFileError(self.paths[row], self.problems[row])
            try:
                look(row)
            except ImageFileError as error:
                return error
            return None

        skipped: dict[int, str] = {}
        total = len(self.paths)
        with closing(in_threads(failure, range(total))) as failures:
            for row, error in enumerate(failures):
                if error is not None and self.on_error == "raise":
                    raise error
                if error is not None:
                    skipped[row] = error.reason
                if self.progress is not None:
                    self.progress(row + 1, total)
        return skipped

    def dataset(self, images: Array | LazyImages, skipped: Mapping[int, str]) -> ImageDataset:
        """Return the dataset of the rows that were not skipped."""
        kept = [row for row in range(len(self.paths)) if row not in skipped]
        listed = tuple((self.paths[row], reason) for row, reason in skipped.items())
        labels = self.labels[kept]
        for name, folder in self.folders.items():
            if self.class_names.index(name) not in labels:
                raise ValueError(_nothing_found(name, folder, listed))
        return ImageDataset(images, labels, self.class_names, tuple(self.paths[row] for row in kept), listed)


def _nothing_found(name: str, folder: Path, skipped: Skipped) -> str:
    inside = [(path, reason) for path, reason in skipped if folder in path.parents]
    if not inside:
        return f"{folder}: expected pictures of class {name!r}, the folder holds no files"
    path, reason = inside[0]
    return f"{folder}: none of its {len(inside)} files is a readable picture; the first, {path.name}: {reason}"
