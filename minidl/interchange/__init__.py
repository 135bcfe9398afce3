"""Networks and weights from other frameworks' files, and into them; each needs an extra where it is used."""

from minidl.interchange.keras import load_keras_weights, save_keras_weights
from minidl.interchange.onnx_export import to_onnx
from minidl.interchange.onnx_import import from_onnx, onnx_metadata
from minidl.interchange.pytorch import load_pytorch_state, pytorch_state, save_pytorch_state

__all__ = [
    "from_onnx",
    "load_keras_weights",
    "load_pytorch_state",
    "onnx_metadata",
    "pytorch_state",
    "save_keras_weights",
    "save_pytorch_state",
    "to_onnx",
]
