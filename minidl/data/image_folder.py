"""Photographs from folders, one folder a class, as one array of pixels."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from minidl._typing import Array
from minidl._validation import positive_int


class ImageFileError(ValueError):
    """A file that cannot be read as a picture: its path and the reason."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


@dataclass(frozen=True)
class ImageDataset:
    """Pictures of one size with their labels.

    `images` is uint8 (n, height, width, 3), `labels` int64 (n,), with `class_names[label]` the class's name; `paths`
    has one entry a picture, and `skipped` lists what could not be read, as (path, reason).
    """

    images: Array
    labels: Array
    class_names: tuple[str, ...]
    paths: tuple[Path, ...]
    skipped: tuple[tuple[Path, str], ...]

    def __len__(self) -> int:
        return len(self.images)


def load_image_folders(
    folders: Mapping[str, str | os.PathLike[str]],
    size: tuple[int, int] = (128, 128),
    positive: str | None = None,
    on_error: Literal["skip", "raise"] = "skip",
) -> ImageDataset:
    """Read every picture below the folders and resize it to one size.

    Arguments: `folders` maps a class's name to its folder; sub-folders are read too, names that begin with a dot are
    not. `size` is (height, width) in pixels; pictures are squeezed to it, not cropped. `positive` names the one of two
    classes that gets label 1; without it, labels number the folders in their order. `on_error` says whether a file
    that is no readable picture is listed in `.skipped` or raised as an `ImageFileError`.

    Order: folder by folder as given, sorted by path in each; the same folders always give the same arrays.

    Raises: ValueError for fewer than two folders, one given twice, an unknown `positive`, or a folder without a
    readable picture; FileNotFoundError or NotADirectoryError for a folder that is none.
    """
    size = (positive_int(size[0], "size[0]"), positive_int(size[1], "size[1]"))
    if on_error not in ("skip", "raise"):
        raise ValueError(f"on_error: expected 'skip' or 'raise', received {on_error!r}")
    class_names = _class_names(folders, positive)
    found = [(path, class_names.index(name)) for name, folder in folders.items() for path in _files(Path(folder))]
    images = np.empty((len(found), *size, 3), np.uint8)
    labels: list[int] = []
    paths: list[Path] = []
    skipped: list[tuple[Path, str]] = []
    for path, label in found:
        try:
            images[len(paths)] = read_image(path, size)
        except ImageFileError as error:
            if on_error == "raise":
                raise
            skipped.append((path, error.reason))
        else:
            paths.append(path)
            labels.append(label)
    for name, folder in folders.items():
        if class_names.index(name) not in labels:
            raise ValueError(_nothing_found(name, Path(folder), skipped))
    return ImageDataset(images[: len(paths)], np.array(labels), class_names, tuple(paths), tuple(skipped))


def read_image(path: str | os.PathLike[str], size: tuple[int, int]) -> Array:
    """Return one picture as uint8 (height, width, 3).

    Any file that Pillow reads: turned upright by its EXIF tag, of an animation the first frame, transparency laid on
    white, 16-bit grey brought to 8, squeezed to `size` = (height, width) with an antialiasing bicubic filter.

    Raises: ImageFileError for a file that is missing, broken, truncated, empty, no picture, or larger than Pillow's
    limit against decompression bombs.
    """
    path = Path(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            warnings.filterwarnings("ignore", category=UserWarning, module="PIL")  # odd metadata of sound pictures
            with Image.open(path) as picture:
                upright = ImageOps.exif_transpose(picture)
                rgb = _to_rgb(upright)
                return np.asarray(rgb.resize((size[1], size[0]), Image.Resampling.BICUBIC))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        reason = f"more than {Image.MAX_IMAGE_PIXELS:,} pixels, Pillow's limit against decompression bombs"
        raise ImageFileError(path, reason) from None
    except Exception as error:  # Pillow's decoders raise nearly any exception on a damaged file
        reason = "the file is empty" if path.is_file() and path.stat().st_size == 0 else _reason(error, path)
        raise ImageFileError(path, reason) from error


def _to_rgb(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I"):  # 16-bit grey, which convert() would clip at 255 instead of scaling
        values = np.asarray(picture).astype(np.float64) / 257
        return Image.fromarray(values.round().clip(0, 255).astype(np.uint8)).convert("RGB")
    if picture.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in picture.info:
        layer = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
    return picture.convert("RGB")


def _reason(error: Exception, path: Path) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "not a picture that Pillow can read"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return f"broken picture ({str(error).replace(str(path), path.name) or type(error).__name__})"


def _class_names(folders: Mapping[str, str | os.PathLike[str]], positive: str | None) -> tuple[str, ...]:
    names = tuple(folders)
    if len(names) < 2:
        raise ValueError(f"folders: expected at least two classes, received {list(names)}")
    resolved = {name: Path(folder).resolve() for name, folder in folders.items()}
    for i, name in enumerate(names):
        for other in names[:i]:
            if resolved[name].is_relative_to(resolved[other]) or resolved[other].is_relative_to(resolved[name]):
                raise ValueError(
                    f"folders: expected a folder for each class, none inside another, "
                    f"received {folders[other]} and {folders[name]}"
                )
    if positive is None:
        return names
    if positive not in names or len(names) != 2:
        raise ValueError(f"positive: expected one of two classes, received {positive!r} of {list(names)}")
    return (next(name for name in names if name != positive), positive)


def _files(folder: Path) -> Iterator[Path]:
    if not folder.exists():
        raise FileNotFoundError(f"{folder}: there is no such folder")
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder}: expected a folder, received a file")
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.is_file() and not hidden:
            yield path


def _nothing_found(name: str, folder: Path, skipped: list[tuple[Path, str]]) -> str:
    inside = [(path, reason) for path, reason in skipped if folder in path.parents]
    if not inside:
        return f"{folder}: expected pictures of class {name!r}, the folder holds no files"
    path, reason = inside[0]
    return f"{folder}: none of its {len(inside)} files is a readable picture; the first, {path.name}: {reason}"
