"""Weights of samples and classes: a weight of k is the sample given k times, in losses, training and evaluation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minidl import (
    SGD,
    BinaryCrossEntropy,
    Checkpoint,
    Dense,
    Hinge,
    Huber,
    Loss,
    Masked,
    MeanAbsoluteError,
    MeanSquaredError,
    Module,
    ReLU,
    Sequential,
    Sigmoid,
    Softmax,
    SoftmaxCrossEntropy,
    Trainer,
    WeightedLoss,
)
from minidl._typing import Array
from minidl.data import Batches, train_test_split
from minidl.metrics import Metric
from minidl.testing import check_loss
from minidl.training import Problem

LOSSES: dict[str, tuple[Loss, Callable[[np.random.Generator, int], tuple[Array, Array]]]] = {
    "squares": (MeanSquaredError(), lambda rng, n: (rng.normal(size=(n, 2)), rng.normal(size=(n, 2)))),
    "absolute": (MeanAbsoluteError(), lambda rng, n: (rng.normal(size=(n, 2)), rng.normal(size=(n, 2)))),
    "huber": (Huber(0.5), lambda rng, n: (rng.normal(size=(n, 2)), rng.normal(size=(n, 2)))),
    "hinge": (Hinge(), lambda rng, n: (rng.normal(size=(n, 1)), rng.integers(2, size=(n, 1)))),
    "squared hinge": (Hinge(True), lambda rng, n: (rng.normal(size=(n, 1)), rng.integers(2, size=(n, 1)) * 2 - 1)),
    "probabilities": (BinaryCrossEntropy(), lambda rng, n: (rng.uniform(0.1, 0.9, (n, 1)), rng.random((n, 1)).round())),
    "logits": (
        BinaryCrossEntropy(from_logits=True, pos_weight=[2.0, 0.5]),
        lambda rng, n: (rng.normal(size=(n, 2)), rng.random((n, 2))),
    ),
    "classes": (SoftmaxCrossEntropy(), lambda rng, n: (rng.normal(size=(n, 3)), rng.integers(0, 3, n))),
    "distributions": (
        SoftmaxCrossEntropy(label_smoothing=0.1),
        lambda rng, n: (rng.normal(size=(n, 3)), rng.dirichlet(np.ones(3), n)),
    ),
    "steps": (
        SoftmaxCrossEntropy(ignore_index=1),
        lambda rng, n: (rng.normal(size=(n, 4, 3)), np.c_[2 * rng.integers(0, 2, n), rng.integers(0, 3, (n, 3))]),
    ),
}
every_loss = pytest.mark.parametrize("kind", LOSSES)
seeds = st.integers(0, 2**32 - 1)


@every_loss
@given(seed=seeds, weights=st.lists(st.integers(0, 9), min_size=1, max_size=30).filter(any))
def test_the_baseline_loss_is_that_of_samples_given_so_often(kind: str, seed: int, weights: list[int]) -> None:
    loss, draw = LOSSES[kind]
    target = draw(np.random.default_rng(seed), len(weights))[1]
    baseline = WeightedLoss(loss).baseline_loss((target, np.array(weights, float)))
    expected = loss.baseline_loss(np.repeat(target, weights, axis=0))
    if expected is None or loss.counted(target) is not None:
        assert baseline is None
    else:
        assert baseline == pytest.approx(expected * np.mean(weights), rel=1e-3)


def test_there_is_no_baseline_loss_of_many_different_targets_or_of_weights_inside_a_sample() -> None:
    loss, target = WeightedLoss(MeanAbsoluteError()), np.arange(1001.0)[:, None]
    assert loss.baseline_loss((target[1:], np.ones(1000))) == pytest.approx(250)
    assert loss.baseline_loss((target, np.ones(1001))) is None
    assert loss.baseline_loss((np.zeros((2, 3)), np.ones((2, 3)))) is None
    assert loss.baseline_loss((target, np.zeros(1001))) is None


@every_loss
@given(seed=seeds, weights=st.lists(st.integers(0, 3), min_size=1, max_size=6).filter(any))
def test_a_whole_weight_is_the_sample_given_so_often(kind: str, seed: int, weights: list[int]) -> None:
    loss, draw = LOSSES[kind]
    prediction, target = draw(np.random.default_rng(seed), len(weights))
    weight = np.array(weights, np.float64)
    weighted, y = WeightedLoss(loss), (target, weight)
    rows = np.repeat(np.arange(len(weights)), weights)
    # Both are sums over the same losses, over different numbers of them.
    n, repeated = max(1, loss.count(target)), loss.count(target[rows])
    value = loss(prediction[rows], target[rows]) * repeated
    np.testing.assert_allclose(weighted(prediction, y) * n, value, rtol=1e-12, atol=1e-13)
    expected = np.zeros_like(prediction)
    np.add.at(expected, rows, loss.gradient(prediction[rows], target[rows]) * repeated)
    np.testing.assert_allclose(weighted.gradient(prediction, y) * n, expected, rtol=1e-12, atol=1e-13)
    if loss.classifies:
        assert weighted.accuracy(prediction, y) == loss.accuracy(prediction, target)
        right = loss.accuracy(prediction[rows], target[rows]) * repeated
        np.testing.assert_allclose(weighted.accuracy(prediction, (*y, weight)) * n, right, rtol=1e-12)
    assert weighted.count(y) == loss.count(target)


@every_loss
@given(seed=seeds, n=st.integers(1, 4))
def test_the_mean_of_the_values_is_the_loss(kind: str, seed: int, n: int) -> None:
    loss, draw = LOSSES[kind]
    prediction, target = draw(np.random.default_rng(seed), n)
    values, counted = loss.values(prediction, target), loss.counted(target)
    assert values.shape == loss.values_shape(prediction.shape)
    used = values if counted is None else values[counted]
    np.testing.assert_allclose(used.mean(), loss(prediction, target), rtol=1e-12)
    assert counted is None or not values[~counted].any()


def test_weights_of_single_steps() -> None:
    loss, rng = SoftmaxCrossEntropy(), np.random.default_rng(0)
    prediction, target, weight = rng.normal(size=(2, 3, 4)), rng.integers(0, 4, (2, 3)), rng.random((2, 3))
    expected = (loss.values(prediction, target) * weight).mean()
    np.testing.assert_allclose(WeightedLoss(loss)(prediction, (target, weight)), expected, rtol=1e-12)


def test_a_batch_without_weight_costs_and_teaches_nothing() -> None:
    loss, y = WeightedLoss(MeanSquaredError()), (np.zeros((2, 1)), np.zeros(2))
    assert loss.value(np.ones((2, 1)), y) == 0
    assert not loss.gradient(np.ones((2, 1)), y).any()


def test_what_has_no_weight_may_be_anything() -> None:
    loss, prediction = WeightedLoss(MeanSquaredError()), np.array([[1e30], [1.0]], np.float32)
    y = np.zeros((2, 1), np.float32), np.array([0.0, 1.0])
    assert loss(prediction, y) == loss.value(prediction, y) == 0.5
    with pytest.raises(ValueError, match="the loss is inf; the numbers are too large for float32"):
        loss(prediction, (y[0], [1.0, 0.0]))


def network(columns: int, rng: int = 0) -> Sequential:
    last: Module = Sigmoid() if columns == 1 else Softmax()
    return Sequential(Dense(12, 4, rng=rng, dtype=np.float64), ReLU(), Dense(4, columns, rng=1, dtype=np.float64), last)


def trained(x: Any, y: Any, columns: int = 1, **options: Any) -> tuple[Trainer, Any]:
    model = network(columns)
    loss: Loss = BinaryCrossEntropy() if columns == 1 else SoftmaxCrossEntropy(from_logits=False)
    trainer = Trainer(model, loss, SGD(model.parameters(), 0.3, momentum=0.5))
    return trainer, trainer.fit(x, y, 6, print_every=None, rng=0, **options)


def assert_same(one: Trainer, other: Trainer) -> None:
    for name, array in one.model.state_dict().items():
        np.testing.assert_allclose(array, other.model.state_dict()[name], rtol=1e-9, atol=1e-12, err_msg=name)


X = np.random.default_rng(0).normal(size=(9, 12))
Y = np.array([0, 1, 0, 0, 1, 0, 0, 0, 1])
CLASSES = np.array([0, 1, 2, 0, 2, 0, 0, 0, 1])
WEIGHT = np.array([1, 2, 0, 3, 1, 1, 2, 0, 1])
ROWS = np.repeat(np.arange(9), WEIGHT)


@pytest.mark.parametrize("dual", [False, True])
@pytest.mark.parametrize(("columns", "y"), [(1, Y), (3, CLASSES)])
def test_training_with_weights_is_training_on_repeated_samples(columns: int, y: Array, dual: bool) -> None:
    validation = (X[:5], y[:5], WEIGHT[:5])
    weighted, history = trained(X, y, columns, sample_weight=WEIGHT, dual=dual, validation_data=validation)
    few = ROWS[ROWS < 5]
    repeated, expected = trained(X[ROWS], y[ROWS], columns, dual=False, validation_data=(X[few], y[few]))
    assert_same(weighted, repeated)
    for name in ("loss", "accuracy", "val_loss", "val_accuracy"):
        np.testing.assert_allclose(history[name], expected[name], rtol=1e-9, err_msg=name)
    found = weighted.evaluate(X, y, batch_size=2, sample_weight=WEIGHT)
    for name, value in repeated.evaluate(X[ROWS], y[ROWS]).items():
        np.testing.assert_allclose(found[name], value, rtol=1e-9, err_msg=name)


@pytest.mark.parametrize("dual", [False, True])
def test_class_weights_weight_the_loss_and_not_the_accuracy(dual: bool) -> None:
    by_class, history = trained(X, Y, class_weight={1: 3}, dual=dual, validation_data=(X, Y))
    by_sample, expected = trained(X, Y, sample_weight=np.where(Y, 3.0, 1.0), dual=False, validation_data=(X, Y))
    assert_same(by_class, by_sample)
    np.testing.assert_allclose(history["loss"], expected["loss"], rtol=1e-9)
    plain = by_class.evaluate(X, Y)
    assert history["val_accuracy"][-1] == plain["accuracy"]
    assert history["val_loss"][-1] != pytest.approx(plain["loss"])
    together, _ = trained(X, Y, class_weight={0: 2.0, 1: 6.0}, sample_weight=WEIGHT)
    apart, _ = trained(X, Y, sample_weight=WEIGHT * np.where(Y, 3.0, 1.0))
    assert_same(together, apart)


@pytest.mark.parametrize(("columns", "y"), [(1, Y), (3, CLASSES), (4, CLASSES)])
def test_balanced_classes_have_the_same_part(columns: int, y: Array) -> None:
    """In the formula of scikit-learn, n / (K n_k); a class that does not occur has no part in it."""
    sizes = np.bincount(y)
    balanced, _ = trained(X, y, columns, class_weight="balanced")
    by_hand, _ = trained(X, y, columns, class_weight=dict(enumerate(len(y) / (len(sizes) * sizes))))
    assert_same(balanced, by_hand)


def test_steps_that_do_not_count_have_no_part_in_balanced_weights() -> None:
    x = np.random.default_rng(0).normal(size=(3, 4, 2))
    y = np.array([[0, 0, 0, 0], [1, -1, -1, -1], [1, 0, -1, -1]])
    found = []
    for class_weight in ("balanced", {0: 7 / (2 * 5), 1: 7 / (2 * 2)}):
        model = Sequential(Dense(2, 2, rng=0, dtype=np.float64))
        trainer = Trainer(model, SoftmaxCrossEntropy(ignore_index=-1), SGD(model.parameters(), 0.1))
        found.append(trainer.fit(x, y, 3, print_every=None, class_weight=class_weight)["loss"])
    np.testing.assert_allclose(found[0], found[1], rtol=1e-12)


class Adding(Trainer):
    """Adds the gradients of all batches up, each by its share of the samples, and moves nothing."""

    gradient: Any = 0.0

    def train_step(self, problem: Problem, x: Array, y: Any) -> dict[str, Any]:
        output = problem.model(x)
        cost = problem.cost(output, y)
        problem.model.backward(problem.loss.gradient(output, y))
        self.gradient = self.gradient + len(x) / len(X) * np.asarray(problem.model.parameters()[0].grad)
        return problem.measured(cost, output, y)


@pytest.mark.parametrize("batch_size", [1, 2, 4, 9])
def test_the_size_of_the_batches_does_not_change_what_weights_mean(batch_size: int) -> None:
    """Their gradients at one point, by their shares of the samples, sum up to that of the whole set."""
    found = []
    for size in (None, batch_size):
        model = network(1)
        trainer = Adding(model, BinaryCrossEntropy(), SGD(model.parameters()))
        history = trainer.fit(X, Y, 1, size, print_every=None, rng=0, sample_weight=WEIGHT, class_weight="balanced")
        found.append((trainer.gradient, history["loss"][0]))
    np.testing.assert_allclose(found[1][0], found[0][0], rtol=1e-9, atol=1e-12)
    assert found[1][1] == pytest.approx(found[0][1], rel=1e-12)


def test_the_factor_of_all_weights_means_nothing() -> None:
    expected, _ = trained(X, Y, sample_weight=WEIGHT)
    for factor in (1e-300, 1e-10, 1e300):
        assert_same(trained(X, Y, sample_weight=WEIGHT * factor)[0], expected)


def test_a_resumed_run_needs_the_same_weights(tmp_path: Path) -> None:
    path = tmp_path / "run"
    whole, _ = trained(X, Y, class_weight="balanced", batch_size=4, callbacks=[Checkpoint(path, every=3)])
    other = network(1)
    trainer = Trainer(other, BinaryCrossEntropy(), SGD(other.parameters(), 0.3, momentum=0.5))
    trainer.resume(path)
    with pytest.raises(ValueError, match="fit after resume, "):
        trainer.fit(X, Y, 6, 4, print_every=None, rng=0, class_weight={1: 3.0}, callbacks=[Checkpoint(path, every=3)])
    trainer.resume(path)
    trainer.fit(X, Y, 6, 4, print_every=None, rng=0, class_weight="balanced", callbacks=[Checkpoint(path, every=3)])
    for name, array in whole.model.state_dict().items():
        assert array.tobytes() == other.state_dict()[name].tobytes()


def test_metrics_are_given_the_weights_of_samples_alone() -> None:
    seen: list[tuple[Any, ...]] = []

    class Watching(Metric):
        def measure(self, prediction: Array, target: Array, *weight: Array) -> Array:
            seen.append(weight)
            return np.ones(1)

        def result(self, measured: Array) -> float:
            return 0.0

    model = network(1)
    trainer = Trainer(model, BinaryCrossEntropy(), SGD(model.parameters()), {"watching": Watching()})
    trainer.fit(X, Y, 1, print_every=None, class_weight="balanced")
    assert seen == [()]
    trainer.fit(X, Y, 1, print_every=None, sample_weight=WEIGHT, class_weight="balanced")
    np.testing.assert_allclose(seen[1][0], WEIGHT / WEIGHT.mean())


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"sample_weight": [1.0] * 8}, ValueError, r"sample_weight: expected one number for each sample, shape \(9,\)"),
        ({"sample_weight": np.full(9, np.nan)}, ValueError, "sample_weight: expected finite numbers, received NaN"),
        ({"sample_weight": [-1.0] * 9}, ValueError, "sample_weight: expected numbers of at least 0, received -1"),
        ({"sample_weight": np.zeros(9)}, ValueError, "expected a weight above 0 for one sample at least"),
        ({"sample_weight": ["a"] * 9}, ValueError, "sample_weight"),
        ({"sample_weight": [[1.0]] * 9}, ValueError, r"received shape \(9, 1\); reshape it with sample_weight\[:, 0\]"),
        ({"class_weight": {2: 1.0}}, ValueError, "class_weight: expected whole class numbers below 2, received 2"),
        ({"class_weight": {0.5: 1.0}}, ValueError, "class_weight: expected whole class numbers below 2, received 0.5"),
        ({"class_weight": {"cat": 1.0}}, ValueError, "expected whole class numbers below 2, received 'cat'"),
        ({"class_weight": {1: -1.0}}, ValueError, r"class_weight\[1\]: expected a finite number of at least 0"),
        ({"class_weight": {0: 0, 1: 0}}, ValueError, "expected a weight above 0 for one sample at least"),
        ({"class_weight": "even"}, TypeError, "class_weight: expected a mapping of .*, or 'balanced', received 'even'"),
        ({"validation_split": 0.0}, ValueError, "validation_split: expected a finite number above 0"),
        ({"validation_split": 1.5}, ValueError, r"validation_split: expected a number in \[0, 1\), received 1.5"),
        (
            {"validation_split": 0.01},
            ValueError,
            "validation_split: expected a sample and a target in each of two parts",
        ),
        (
            {"validation_split": 0.3, "sample_weight": [1.0] * 8},
            ValueError,
            "sample_weight: expected one number for each",
        ),
        ({"validation_split": 0.3, "validation_data": (X, Y)}, ValueError, "validation_split: expected None beside"),
        ({"validation_data": (X, Y, [1.0])}, ValueError, "validation sample_weight: expected one number for each"),
        ({"validation_data": (X, Y, Y, Y)}, ValueError, r"validation_data: expected a pair \(x, y\), or \(x, y, "),
        ({"drop_last": True}, ValueError, "drop_last: expected a batch_size of at most the 9 samples with it"),
        ({"drop_last": True, "batch_size": 10}, ValueError, "drop_last: expected a batch_size of at most the 9"),
        ({"drop_last": 1, "batch_size": 3}, ValueError, "drop_last: expected True or False, received 1"),
    ],
)
def test_what_is_refused(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        trained(X, Y, **options)


def test_losses_without_what_weights_need() -> None:
    class Own(Loss):
        def value(self, prediction: Array, target: Array) -> float:
            return float(np.mean(prediction - target))

        def gradient(self, prediction: Array, target: Array) -> Array:
            return np.full_like(prediction, 1 / prediction.size)

    model = Sequential(Dense(12, 1, rng=0, dtype=np.float64))
    trainer = Trainer(model, Own(), SGD(model.parameters()))
    with pytest.raises(TypeError, match=r"expected a loss that defines `values` beside its `value`, received Own\(\)"):
        trainer.fit(X, Y, 1, sample_weight=WEIGHT)
    with pytest.raises(TypeError, match=r"class_weight: expected a loss that has classes, received MeanSquaredError"):
        Trainer(model, MeanSquaredError(), SGD(model.parameters())).fit(X, Y, 1, class_weight={1: 2.0})
    with pytest.raises(ValueError, match=r"expected a pair \(target, weight\)"):
        WeightedLoss(MeanSquaredError())(X, X)
    with pytest.raises(TypeError, match=r"Trainer loss: expected MeanSquaredError\(\), and the weights given to fit"):
        Trainer(model, WeightedLoss(MeanSquaredError()), SGD(model.parameters()))
    with pytest.raises(TypeError, match="WeightedLoss loss: expected a Loss without weights, received 3"):
        WeightedLoss(3)  # type: ignore[arg-type]


def test_a_loss_that_has_overridden_its_value_alone() -> None:
    """The inherited `values` would be those of another formula."""

    class Distances(MeanSquaredError):  # noqa: N818 - the error is in the name of its base
        def value(self, prediction: Array, target: Array) -> float:
            return float(np.abs(prediction - target).mean())

    class Columns(Distances):
        def values(self, prediction: Array, target: Array) -> Array:
            result: Array = np.abs(prediction - target).mean(axis=1)
            return result

    with pytest.raises(TypeError, match="defines `values` beside its `value`, received Distances"):
        WeightedLoss(Distances())
    with pytest.raises(ValueError, match=r"Columns\(\): expected `values` of shape \(3, 1\), received \(3,\)"):
        WeightedLoss(Columns()).value(np.ones((3, 1)), (np.zeros((3, 1)), np.ones(3)))


def test_metrics_and_losses_that_take_no_weights() -> None:
    class Share(BinaryCrossEntropy):
        def accuracy(self, prediction: Array, target: Array) -> float:
            return 0.5

    class Plain(Metric):
        def measure(self, prediction: Array, target: Array) -> Array:  # type: ignore[override, unused-ignore]
            return np.ones(1)

    model = network(1)
    optimizer = SGD(model.parameters())
    with pytest.raises(TypeError, match="sample_weight: expected a loss that defines `right` beside its `accuracy`"):
        Trainer(model, Share(), optimizer).fit(X, Y, 1, sample_weight=WEIGHT)
    trainer = Trainer(model, BinaryCrossEntropy(), optimizer, {"plain": Plain()})
    with pytest.raises(TypeError, match=r"metrics that define measure\(prediction, target, weight\), .* as 'plain'"):
        trainer.fit(X, Y, 1, sample_weight=WEIGHT)
    with pytest.raises(TypeError, match="as 'plain'"):
        trainer.evaluate(X, Y, sample_weight=WEIGHT)


def test_a_held_out_part_without_classes_or_of_rare_ones() -> None:
    """Is drawn without regard to classes, and what is wrong with the samples is said before anything is drawn."""
    for y in (np.linspace(0.1, 0.9, 9), np.r_[1, np.zeros(8)]):
        _, history = trained(X, y, validation_split=1 / 3)
        assert history.epochs == 6
    with pytest.raises(ValueError, match="first in row 7"):
        trained(X, np.where(np.arange(9) == 7, np.nan, Y), validation_split=1 / 3)
    with pytest.raises(ValueError, match=r"received x and y of shapes \(8, 12\) and \(9,\)"):
        trained(X[:8], Y, validation_split=1 / 3)
    with pytest.raises(ValueError, match="y: expected numbers without gaps"):
        trained(X, np.ma.array(Y, mask=Y > 0), validation_split=1 / 3)


def test_several_answers_of_yes_or_no_have_no_classes() -> None:
    model = Sequential(Dense(12, 2, rng=0, dtype=np.float64))
    trainer = Trainer(model, BinaryCrossEntropy(from_logits=True), SGD(model.parameters()))
    with pytest.raises(ValueError, match=r"class_weight: expected predictions of one column or of classes, received"):
        trainer.fit(X, np.c_[Y, Y], 1, class_weight={1: 2.0})


def test_a_weight_of_positives_for_each_column() -> None:
    loss, rng = BinaryCrossEntropy(from_logits=True, pos_weight=[2.0, 0.5, 1.0]), np.random.default_rng(0)
    z, t = rng.normal(size=(5, 3)), rng.random((5, 3))
    singles = [BinaryCrossEntropy(from_logits=True, pos_weight=w) for w in (2.0, 0.5, 1.0)]
    columns = [(z[:, [i]], t[:, [i]]) for i in range(3)]
    expected = np.mean([single(*column) for single, column in zip(singles, columns, strict=True)])
    assert loss(z, t) == pytest.approx(expected, rel=1e-12)
    gradients = [single.gradient(*column) / 3 for single, column in zip(singles, columns, strict=True)]
    np.testing.assert_allclose(loss.gradient(z, t), np.hstack(gradients), rtol=1e-12)
    check_loss(loss, z, t)
    with pytest.raises(ValueError, match=r"pos_weight: expected a number for each column of predictions \(5, 2\)"):
        loss(z[:, :2], t[:, :2])
    with pytest.raises(ValueError, match=r"pos_weight\[1\]: expected a finite number above 0, received 0"):
        BinaryCrossEntropy(pos_weight=[1.0, 0])
    with pytest.raises(ValueError, match="pos_weight: expected a number or at least one of a list"):
        BinaryCrossEntropy(pos_weight=[])


@given(n=st.integers(1, 20), batch_size=st.integers(1, 20))
def test_drop_last_leaves_out_what_is_no_whole_batch(n: int, batch_size: int) -> None:
    if batch_size > n:
        return
    batches = Batches(np.arange(n), np.arange(n), batch_size, rng=0, drop_last=True)
    sizes = [len(x) for x, _ in batches]
    assert sizes == [batch_size] * (n // batch_size)


def test_a_validation_part_is_held_out_before_training() -> None:
    trainer, history = trained(X, Y, validation_split=1 / 3, sample_weight=WEIGHT + 1)
    rng = np.random.default_rng(0)
    train, held_out, _, _ = train_test_split(np.arange(9), Y, 1 / 3, rng=rng)
    weight = WEIGHT + 1
    options = {"sample_weight": weight[train], "validation_data": (X[held_out], Y[held_out], weight[held_out])}
    expected, other = trained(X[train], Y[train], **options)
    assert_same(trainer, expected)
    np.testing.assert_allclose(history["val_loss"], other["val_loss"])
    assert Y[held_out].sum() == 1  # of 3 positives in 9 samples


def test_weights_go_with_masks_and_several_inputs() -> None:
    model = Masked(Dense(2, 3, rng=0, dtype=np.float64))
    x, y = np.random.default_rng(0).normal(size=(3, 4, 2)), np.zeros((3, 4), int)
    trainer = Trainer(model, SoftmaxCrossEntropy(), SGD(model.parameters()))
    history = trainer.fit(x, y, 2, print_every=None, sample_weight=[1.0, 0.0, 2.0], class_weight="balanced")
    assert history["loss"][1] < history["loss"][0]


def test_balanced_classes_of_a_hinge_loss() -> None:
    """A class three times as frequent costs a third a sample, whatever the other class is called."""
    rng = np.random.default_rng(0)
    x, ones = rng.normal(size=(12, 3)), np.array([1] * 9 + [0] * 3)[:, None]
    states = []
    for y in (ones, 2 * ones - 1):
        model = Sequential(Dense(3, 1, rng=0))
        trainer = Trainer(model, Hinge(), SGD(model.parameters(), 0.1))
        trainer.fit(x, y, 5, class_weight="balanced", print_every=None)
        states.append(model.state_dict())
    model = Sequential(Dense(3, 1, rng=0))
    trainer = Trainer(model, Hinge(), SGD(model.parameters(), 0.1))
    trainer.fit(x, ones, 5, sample_weight=np.where(ones, 12 / 18, 2.0)[:, 0], print_every=None)
    states.append(model.state_dict())
    for state in states[1:]:
        for name, array in state.items():
            np.testing.assert_allclose(array, states[0][name], rtol=1e-6)


def test_weights_of_any_size_are_taken_where_numpy_raises() -> None:
    weight = [1e300, 1e-300, 1.0, 1e300]
    with np.errstate(all="raise"):
        model = Sequential(Dense(2, 1, rng=0, dtype=np.float64))
        trainer = Trainer(model, MeanSquaredError(), SGD(model.parameters(), 0.1))
        trainer.fit(np.eye(4)[:, :2], [1.0, 2.0, 3.0, 4.0], 3, sample_weight=weight, print_every=None)
    expected = Sequential(Dense(2, 1, rng=0, dtype=np.float64))
    trainer = Trainer(expected, MeanSquaredError(), SGD(expected.parameters(), 0.1))
    trainer.fit(np.eye(4)[:, :2], [1.0, 2.0, 3.0, 4.0], 3, sample_weight=[1.0, 0.0, 0.0, 1.0], print_every=None)
    for name, array in model.state_dict().items():
        np.testing.assert_allclose(array, expected.state_dict()[name], rtol=1e-12)
