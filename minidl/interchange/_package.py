"""The official `onnx` package, imported when it is first needed."""

from __future__ import annotations

from typing import Any


def onnx_package() -> Any:
    """Return the package `onnx` with the parts of it that are used here.

    Raises: ImportError that names the extra where it is not installed.
    """
    try:
        import onnx
        import onnx.numpy_helper
        import onnx.shape_inference
    except ImportError as error:
        if not (error.name or "").startswith("onnx"):
            raise  # something that onnx itself needs
        raise ImportError("ONNX files need the package onnx: pip install 'minidl[onnx]'", name="onnx") from None
    return onnx
