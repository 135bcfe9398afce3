"""Networks from other frameworks' files, and into them; nothing else of minidl imports this folder."""

from minidl.interchange.onnx_export import to_onnx

__all__ = ["to_onnx"]
