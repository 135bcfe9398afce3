"""What a network says near the border between two classes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minidl import Dense, Flatten, Sequential, Sigmoid, mlp
from minidl.inspect import occlusion, page
from minidl.inspect._page_photographs import Answers, photographs_of, probabilities_of


def test_one_logit_above_0_is_class_1() -> None:
    dense = Dense(12, 1, rng=0)
    dense.load_state_dict({"weight": np.zeros((1, 12)), "bias": [0.25]})
    model, picture = Sequential(Flatten(), dense), np.ones((2, 2, 3))
    assert occlusion(model, picture, patch=1, stride=1)[2:4] == (1, 0.25)
    assert occlusion(model, picture, of=0, patch=1, stride=1)[2:4] == (0, -0.25)


def test_what_the_page_says_does_not_depend_on_rounding() -> None:
    dense = Dense(1, 1, rng=0)
    dense.load_state_dict({"weight": [[1e-6]], "bias": [0.0]})
    model, x = Sequential(dense, Sigmoid()), np.array([[1.0], [-1.0]])
    answers = Answers(probabilities_of(model, x), np.array([1, 0]))
    shown = photographs_of(x, answers, [])
    assert answers.accuracy == 1
    assert shown["probabilities"] == [[0.5, 0.5], [0.5, 0.5]]
    assert shown["says"] == [1, 0]


@pytest.mark.parametrize(
    "arguments", [{"labels": [None, 1]}, {"labels": [[0], [1, 0]]}, {"class_names": 2}, {"names": 2}]
)
def test_arguments_of_another_kind_are_named(tmp_path: Path, arguments: dict[str, Any]) -> None:
    (name,) = arguments
    with pytest.raises(ValueError, match=f"page {name}"):
        page(mlp([2, 1], rng=0), tmp_path / "page.html", [[0.0, 1.0], [1.0, 0.0]], **arguments)
