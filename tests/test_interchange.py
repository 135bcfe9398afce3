"""Files of other programs need packages of theirs, which the error names."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from minidl import mlp
from minidl.interchange import from_onnx, to_onnx


def test_without_the_package_onnx(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    for use in (lambda: to_onnx(mlp([2, 1]), tmp_path / "m.onnx"), lambda: from_onnx(tmp_path / "m.onnx")):
        with pytest.raises(ImportError, match=r"pip install 'minidl\[onnx\]'"):
            use()
