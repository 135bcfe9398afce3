"""Values as they stand in errors: whole where they are short, else the beginning, without writing out the rest."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from minidl._validation import shown

LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(st.text(), inner)
)


@given(VALUES)
def test_a_value_is_shown_as_its_repr_in_one_line(value: Any) -> None:
    text = " ".join(repr(value).split())
    assert shown(value) == (text if len(text) <= 100 else f"{text[:97]}...")


def test_only_what_is_shown_is_written_out() -> None:
    asked = []

    class Counted:
        def __repr__(self) -> str:
            asked.append(1)
            return "counted"

    assert shown({"first": [(Counted(), Counted())] * 1000}).startswith("{'first': [(counted, counted), (counted")
    assert len(asked) < 100


def test_what_has_no_end_has_a_beginning() -> None:
    endless: list[Any] = [0]
    endless.append(endless)
    assert shown(endless).startswith("[0, [0, [0, ")
    assert len(shown(endless)) == 100


def test_several_lines_become_one() -> None:
    assert shown(np.eye(2)) == "array([[1., 0.], [0., 1.]])"


def test_a_number_of_too_many_digits() -> None:
    assert shown(10**5000) == "int of too many digits to show"
    assert shown([10**5000]) == "[int of too many digits to show]"
