"""Networks from other frameworks' files, and into them; nothing else of minidl imports this folder."""

from minidl.interchange.onnx_export import to_onnx
from minidl.interchange.onnx_import import from_onnx, onnx_metadata

__all__ = ["from_onnx", "onnx_metadata", "to_onnx"]
