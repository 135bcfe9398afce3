"""Networks and their states in other programs' formats; each needs an extra where it is used."""

from minidl.interchange.keras import load_keras_weights, save_keras_weights
from minidl.interchange.pytorch import load_pytorch_state, pytorch_state, save_pytorch_state

__all__ = ["load_keras_weights", "load_pytorch_state", "pytorch_state", "save_keras_weights", "save_pytorch_state"]
