"""SGD: its formula and its checks."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import arrays, dtypes

from minidl import SGD, Optimizer, Parameter, mlp


@given(st.data(), st.floats(1e-4, 10), dtypes)
def test_step(data: st.DataObject, learning_rate: float, dtype: Any) -> None:
    w, g = (data.draw(arrays((3, 2), dtype=dtype)) for _ in range(2))
    parameter = Parameter(w.copy())
    parameter.grad = g.copy()
    SGD([parameter], learning_rate).step()
    assert parameter.data.dtype == dtype
    eps = float(np.finfo(dtype).eps)
    np.testing.assert_allclose(parameter.data, w - learning_rate * g, rtol=4 * eps, atol=4 * eps * 100)
    np.testing.assert_array_equal(parameter.grad, g)


@pytest.mark.parametrize("learning_rate", [0, -1.0, math.nan, math.inf, "0.1", True, None])
def test_bad_learning_rate(learning_rate: Any) -> None:
    model = mlp([2, 1])
    with pytest.raises(ValueError, match="SGD learning_rate: expected a finite number above 0, received"):
        SGD(model.parameters(), learning_rate)
    optimizer = SGD(model.parameters(), 0.5)
    with pytest.raises(ValueError, match="SGD learning_rate"):
        optimizer.learning_rate = learning_rate
    assert optimizer.learning_rate == 0.5


def test_bad_parameters() -> None:
    weight = mlp([2, 1]).parameters()[0]
    with pytest.raises(ValueError, match="SGD parameters: expected at least one, received none"):
        SGD([])
    with pytest.raises(ValueError, match=r"SGD parameters\[1\]: .* is given twice"):
        SGD([weight, weight])
    with pytest.raises(TypeError, match=r"parameters\[0\]: expected a Parameter, as in model.parameters\(\)"):
        SGD(mlp([2, 1]).state_dict().values())  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match=r"SGD parameters\[0\]: .* has no gradient; call backward before step"):
        SGD([weight]).step()
    with pytest.raises(NotImplementedError, match=r"Optimizer does not define step\(\)"):
        Optimizer([weight], 0.1).step()
