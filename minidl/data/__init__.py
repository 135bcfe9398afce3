"""From files to arrays: photographs from folders, splits and batches. Knows nothing of modules."""

from minidl.data.batches import Batches
from minidl.data.image_folder import ImageDataset, ImageFileError, load_image_folders, read_image
from minidl.data.split import train_test_split

__all__ = ["Batches", "ImageDataset", "ImageFileError", "load_image_folders", "read_image", "train_test_split"]
