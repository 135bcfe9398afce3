"""A pandas DataFrame is taken where all columns are numbers, and refused by the names of its columns where not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minidl import SGD, BinaryCrossEntropy, Dense, Normalize, Sequential, Sigmoid, SoftmaxCrossEntropy, Trainer

pandas = pytest.importorskip("pandas")

X = np.random.default_rng(0).normal(size=(8, 2))
X[:, 1] = X[:, 1] > 0
TABLE = pandas.DataFrame({"age": X[:, 0], "dtype": X[:, 1] > 0})


def trainer_of(model: Sequential) -> Trainer:
    return Trainer(model, BinaryCrossEntropy(), SGD(model.parameters()))


def network() -> Sequential:
    return Sequential(Normalize(2, dtype=np.float64).adapt(TABLE), Dense(2, 1, rng=0, dtype=np.float64), Sigmoid())


@pytest.mark.parametrize("options", [{}, {"batch_size": 3}, {"validation_split": 0.25}])
def test_a_table_is_its_numbers(options: dict[str, Any]) -> None:
    model, other = network(), network()
    np.testing.assert_array_equal(model.predict(TABLE), model.predict(X))
    np.testing.assert_array_equal(model.predict(TABLE.astype({"dtype": "Int64"})), model.predict(X))
    trainer, expected = trainer_of(model), trainer_of(other)
    assert trainer.evaluate(TABLE, TABLE["dtype"]) == expected.evaluate(X, X[:, 1])
    trainer.fit(TABLE, TABLE["dtype"], 2, print_every=None, rng=0, **options)
    expected.fit(X, X[:, 1], 2, print_every=None, rng=0, **options)
    np.testing.assert_array_equal(model.predict(X), other.predict(X))


def test_columns_that_are_no_numbers() -> None:
    trainer, y = trainer_of(Sequential(Dense(2, 1, rng=0), Sigmoid())), [0, 1] * 4
    named = TABLE.assign(name=list("abcdefgh"), kind=pandas.Categorical(list("abababab")))
    missing, missing_number = TABLE.assign(age=[None, *range(7)]), TABLE.astype({"dtype": "Int64"}).replace(1, None)
    kinds = r"x: expected columns of numbers, received 'name' of .*, 'kind' of category"
    gaps = r"x: expected numbers without gaps, received NaN or missing values in '{}'"
    for call in (trainer.model.predict, lambda x: trainer.fit(x, y, 1), lambda x: trainer.evaluate(x, y)):
        with pytest.raises(ValueError, match=kinds):
            call(named)
        with pytest.raises(ValueError, match=gaps.format("age")):
            call(missing)
        with pytest.raises(ValueError, match=gaps.format("dtype")):
            call(missing_number)


def test_a_column_of_classes() -> None:
    classes = pandas.DataFrame({"class": [0, 1, 2, 0]})
    trainer = Trainer(model := Sequential(Dense(2, 3, rng=0)), SoftmaxCrossEntropy(), SGD(model.parameters()))
    with pytest.raises(ValueError, match=r"reshape it with target\[:, 0\]"):
        trainer.fit(TABLE[:4], classes, 1)
    weights = pandas.Series([1, 2, 0, 1], list("abcd"))
    trainer.fit(TABLE[:4], classes["class"], 1, print_every=None, sample_weight=weights)
