"""From files to arrays: photographs from folders, splits, batches and augmentation. Knows nothing of modules."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from minidl.data.batches import Batches
from minidl.data.compose import Compose
from minidl.data.split import train_test_split
from minidl.errors import ImageFileError

if TYPE_CHECKING:
    from minidl.data.audit import ImageAudit, audit_images
    from minidl.data.augment import Augment
    from minidl.data.cutmix import CutMix
    from minidl.data.duplicates import find_duplicates
    from minidl.data.image_file import read_image
    from minidl.data.image_folder import ImageDataset, load_image_folders, open_image_folders
    from minidl.data.lazy_images import LazyImages
    from minidl.data.mixup import MixUp
    from minidl.data.rand_augment import RandAugment
    from minidl.data.random_crop import RandomResizedCrop

# What training itself does not need waits for its first use; Pillow's import alone takes as long as all of minidl's.
_ON_FIRST_USE = {
    "Augment": "augment",
    "CutMix": "cutmix",
    "ImageAudit": "audit",
    "MixUp": "mixup",
    "RandAugment": "rand_augment",
    "RandomResizedCrop": "random_crop",
    "audit_images": "audit",
    "find_duplicates": "duplicates",
    "read_image": "image_file",
    "ImageDataset": "image_folder",
    "load_image_folders": "image_folder",
    "open_image_folders": "image_folder",
    "LazyImages": "lazy_images",
}

__all__ = [
    "Augment",
    "Batches",
    "Compose",
    "CutMix",
    "ImageAudit",
    "ImageDataset",
    "ImageFileError",
    "LazyImages",
    "MixUp",
    "RandAugment",
    "RandomResizedCrop",
    "audit_images",
    "find_duplicates",
    "load_image_folders",
    "open_image_folders",
    "read_image",
    "train_test_split",
]


def __getattr__(name: str) -> Any:
    if name not in _ON_FIRST_USE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"minidl.data.{_ON_FIRST_USE[name]}"), name)
