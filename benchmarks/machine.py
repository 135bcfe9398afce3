"""What the measurements were made on and with."""

from __future__ import annotations

import importlib
import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

import minidl

# The distributions, whose versions are known without importing them.
PEERS = {
    "PyTorch": "torch",
    "JAX": "jax",
    "Keras": "keras",
    "tinygrad": "tinygrad",
    "scikit-learn": "scikit-learn",
    "ONNX Runtime": "onnxruntime",
}


def peer(name: str) -> Any:
    """Return the module of a framework to compare with, None where it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def describe() -> dict[str, str]:
    """Return the processor, the matrix library and the versions; for a peer that is missing, that it is."""
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    found = {
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "system": platform.platform(),
        "Python": platform.python_version(),
        "minidl": minidl.__version__,
        "NumPy": f"{np.__version__}, BLAS {blas['name']} {blas['version']}",
        "Pillow": metadata.version("pillow"),
    }
    for name, distribution in PEERS.items():
        try:
            found[name] = metadata.version(distribution)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    if (torch := peer("torch")) is not None:
        found["PyTorch"] += f", {torch.get_num_threads()} threads"
    return found


def description() -> str:
    """Return what `describe` found, one line each."""
    return "\n".join(f"{name + ':':<14}{value}" for name, value in describe().items())


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
