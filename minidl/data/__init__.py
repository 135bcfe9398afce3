"""From files to arrays: photographs from folders, splits, batches and augmentation. Knows nothing of modules."""

from typing import TYPE_CHECKING

from minidl._lazy import on_first_use
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

# What training itself does not need waits for its first use; Pillow's import alone takes as long as all of minidl's.
__getattr__ = on_first_use(
    __name__,
    {
        "Augment": "minidl.data.augment",
        "CutMix": "minidl.data.cutmix",
        "ImageAudit": "minidl.data.audit",
        "MixUp": "minidl.data.mixup",
        "RandAugment": "minidl.data.rand_augment",
        "RandomResizedCrop": "minidl.data.random_crop",
        "audit_images": "minidl.data.audit",
        "find_duplicates": "minidl.data.duplicates",
        "read_image": "minidl.data.image_file",
        "ImageDataset": "minidl.data.image_folder",
        "load_image_folders": "minidl.data.image_folder",
        "open_image_folders": "minidl.data.image_folder",
        "LazyImages": "minidl.data.lazy_images",
    },
)
