"""The tests of single operators that the package onnx ships, for every operator that `from_onnx` reads.

In them weights are inputs of the model; here they become constants of it, as they are in networks. A test either passes
or is refused by name: a result that is wrong is neither.
"""

from __future__ import annotations

import pkgutil
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minidl._typing import Array
from minidl.errors import ModelFileError
from minidl.interchange import from_onnx
from minidl.interchange.onnx_import import IMPORTERS

onnx = pytest.importorskip("onnx", minversion="1.16")

JOINING = {"Add", "Sub", "Mul", "Sum", "Mean", "Concat"}  # whose inputs all are the network's
LAYOUTS: list[Callable[[Array], Array]] = [
    lambda x: x,  # as in the file
    lambda x: np.moveaxis(x, 1, -1),  # channels last
    lambda x: x.swapaxes(0, 1),  # (time, batch, features), batch first
    lambda x: x.transpose(2, 0, 1, 3),  # (time, directions, batch, features)
]
PASSING = {
    "Add": 1, "AveragePool": 11, "BatchNormalization": 2, "Clip": 1, "Concat": 6, "Conv": 6, "ConvTranspose": 6,
    "Div": 1, "Dropout": 4, "Elu": 3, "Flatten": 3, "Gelu": 4, "Gemm": 8, "GlobalAveragePool": 2, "GlobalMaxPool":
    2, "GroupNormalization": 2, "HardSwish": 1, "Identity": 3, "InstanceNormalization": 2, "LSTM": 3,
    "LayerNormalization": 7, "LeakyRelu": 3, "LogSoftmax": 6, "MatMul": 1, "MaxPool": 9, "Mean": 3, "Mul": 2,
    "PRelu": 1, "RMSNormalization": 7, "ReduceMax": 6, "ReduceMean": 6, "Relu": 1, "Reshape": 4, "Resize": 1,
    "Selu": 1, "Sigmoid": 2, "Softmax": 6, "Softplus": 2, "Sub": 2, "Sum": 3, "Swish": 1, "Tanh": 2, "Transpose":
    3, "Unsqueeze": 7,
}  # fmt: skip
"""How many tests of each operator pass with the version of onnx that this was written with."""


MODULES = {"batchnorm", "instancenorm"}  # of the package's tests, where they are not named after their operators


@cache
def cases() -> dict[str, list[Any]]:
    """Return the package's tests of one operator each, by operator."""
    names = {name.lower() for name in IMPORTERS} | MODULES
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnx.backend.test.case import node as tests

        for module in pkgutil.iter_modules(tests.__path__):
            if module.name.replace("_", "") in names:  # others take ten seconds
                import_module(f"{tests.__name__}.{module.name}")
    found: dict[str, list[Any]] = {name: [] for name in IMPORTERS}
    for case in tests._NodeTestCases:
        operators = {node.op_type for node in case.model.graph.node}
        if len(operators) == 1 and case.data_sets and operators <= IMPORTERS.keys():
            found[operators.pop()].append(case)
    return found


def as_network(case: Any, path: Path) -> tuple[list[Array], Array]:
    """Write a test's model, whose other inputs become constants; return the network's inputs and the right output."""
    given, expected = case.data_sets[0]
    proto = type(case.model)()
    proto.CopyFrom(case.model)
    infos, inputs = list(proto.graph.input), []
    del proto.graph.input[:]
    operator = proto.graph.node[0].op_type
    for i, (info, array) in enumerate(zip(infos, map(np.asarray, given), strict=True)):
        if operator in JOINING or i == 0:
            proto.graph.input.append(info)
            inputs.append(array)
        else:
            proto.graph.initializer.append(onnx.numpy_helper.from_array(array, info.name))
    path.write_bytes(proto.SerializeToString())
    return inputs, np.asarray(expected[0])


def is_right(case: Any, path: Path) -> bool | None:
    """Return whether a test passes in any order of axes, None where its model is refused."""
    inputs, expected = as_network(case, path)
    if any(x.size == 0 for x in inputs):
        return None
    try:
        network = from_onnx(path, case.model.graph.output[0].name)
    except ModelFileError:
        return None
    for of_input in LAYOUTS:
        for of_output in LAYOUTS:
            with suppress(ValueError, TypeError):  # an order for arrays of other ranks, or one that a layer refuses
                x = tuple(map(of_input, inputs))
                y = network.predict(x if len(x) > 1 else x[0])
                if np.allclose(y, of_output(expected).reshape(y.shape), rtol=case.rtol, atol=1e-6):
                    return True
    return False


def of_numbers(operator: str) -> Iterator[Any]:
    """Yield the tests of arrays of numbers; the package has some of sequences, of 4 bits, and of nothing."""
    for case in cases()[operator]:
        if all(isinstance(x, (np.ndarray, np.generic)) and x.dtype.kind in "fiub" for x in case.data_sets[0][0]):
            yield case


@pytest.mark.parametrize("operator", sorted(IMPORTERS))
def test_no_operator_computes_anything_else(operator: str, tmp_path: Path) -> None:
    results = {case.name: is_right(case, tmp_path / "m.onnx") for case in of_numbers(operator)}
    assert [name for name, result in results.items() if result is False] == []
    passing = sum(result is True for result in results.values())
    assert passing >= min(PASSING.get(operator, 0), len(results))


def test_every_operator_has_its_tests() -> None:
    assert [operator for operator in IMPORTERS if not cases()[operator]] == []
