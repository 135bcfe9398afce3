"""An ONNX file as the model that the package onnx makes of it."""

from __future__ import annotations

from typing import Any

from minidl._files import FilePath, check_regular
from minidl.errors import ModelFileError
from minidl.interchange._package import onnx_package

OLDEST = 7  # of the versions of ONNX's operators: before it, arrays were broadcast and modes were given otherwise


def read_model(path: FilePath) -> Any:
    """Return the model of an ONNX file.

    Raises: OSError where the file cannot be read; ModelFileError for one that is damaged or no ONNX model, or whose
    operators are too old, or newer than the package onnx.
    """
    onnx = onnx_package()
    check_regular(path)
    try:
        proto = onnx.load(path)
        version, newest = opset_of(proto), onnx.defs.onnx_opset_version()
        if version is not None and version < OLDEST:
            raise ModelFileError(
                f"{path}: expected operators of version {OLDEST} or later, received version {version}; "
                "onnx.version_converter.convert_version brings a model to a later one"
            )
        if (version or 0) > newest or proto.ir_version > onnx.IR_VERSION:
            raise ModelFileError(
                f"{path}: expected operators up to version {newest} in a format up to version {onnx.IR_VERSION}, which "
                f"onnx {onnx.__version__} knows, received {version} and {proto.ir_version}; update the package onnx"
            )
        onnx.checker.check_model(proto)
    except (OSError, MemoryError, ModelFileError):
        raise
    except Exception as error:  # of protobuf, which has several classes of them, and of the checker
        reason = str(error).partition("\n")[0]
        raise ModelFileError(f"{path}: damaged, or not an ONNX model: {reason}") from error
    return proto


def opset_of(proto: Any) -> int | None:
    """Return the version of ONNX's operators that a model is made of, None where it does not say so."""
    return next((entry.version for entry in proto.opset_import if entry.domain in ("", "ai.onnx")), None)
