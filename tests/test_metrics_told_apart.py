"""Metrics tell probabilities, class numbers, logits and columns apart, answer as scikit-learn does, or refuse."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import seeds

from minidl import (
    SGD,
    BinaryCrossEntropy,
    Dense,
    Sequential,
    Trainer,
    accuracy,
    balanced_accuracy,
    confusion_counts,
    majority_baseline,
    precision,
    recall,
)
from minidl.metrics import F1

WHOLE = ["int8", "uint8", "int32", "int64", "uint64", "float32", "float64"]
FLOATING = ["float16", "float32", "float64"]


@dataclass(frozen=True)
class Case:
    """What a metric is given, and the classes that it should find there."""

    prediction: Any
    target: Any
    threshold: tuple[float, ...]
    predicted: list[int]
    meant: list[int]


def laid_out(draw: st.DrawFn, values: Any) -> Any:
    """Return one column in one of its forms."""
    return draw(st.sampled_from([values, values[:, None], values.tolist(), values[:, None].tolist()]))


@st.composite
def one_column(draw: st.DrawFn) -> Case:
    """Probabilities, or any numbers beside a threshold, and hard or soft targets of two classes."""
    rng, n = np.random.default_rng(draw(seeds)), draw(st.integers(1, 30))
    dtype = draw(st.sampled_from(FLOATING))
    threshold = draw(st.sampled_from([(), (0.5,), (0.0,), (0.25,), (-3.0,), (1e300,)]))
    numbers = rng.normal(scale=draw(st.sampled_from([1.0, 1e3])), size=n) if threshold else rng.integers(0, 9, n) / 8
    p = numbers.astype(dtype)
    if draw(st.booleans()):
        t = (rng.integers(0, 9, n) / 8).astype(draw(st.sampled_from(FLOATING)))
    else:
        t = rng.integers(0, 2, n).astype(draw(st.sampled_from([*WHOLE, "bool"])))
    limit = threshold[0] if threshold else 0.5
    predicted, meant = [int(value > limit) for value in p.tolist()], [int(value > 0.5) for value in t.tolist()]
    return Case(laid_out(draw, p), laid_out(draw, t), threshold, predicted, meant)


@st.composite
def class_numbers(draw: st.DrawFn) -> Case:
    """Class numbers on both sides, of any dtype; those of floating dtypes go beyond 1 among the predictions."""
    rng, n, k = np.random.default_rng(draw(seeds)), draw(st.integers(1, 30)), draw(st.integers(1, 6))
    p, t = rng.integers(0, k, n), rng.integers(0, k, n)
    dtype = draw(st.sampled_from(WHOLE))
    if dtype.startswith("float") and t.max() > 1:
        p[0] = max(2, p[0])
    predicted, meant = p.tolist(), t.tolist()
    t = t.astype(draw(st.sampled_from(WHOLE)))
    return Case(laid_out(draw, p.astype(dtype)), laid_out(draw, t), (), predicted, meant)


@st.composite
def columns(draw: st.DrawFn) -> Case:
    """Logits or probabilities in columns, beside class numbers, one-hot rows or rows of probabilities."""
    rng, n, k = np.random.default_rng(draw(seeds)), draw(st.integers(1, 30)), draw(st.integers(2, 6))
    p = rng.dirichlet(np.ones(k), n) if draw(st.booleans()) else rng.normal(scale=9, size=(n, k))
    p = p.astype(draw(st.sampled_from(FLOATING)))
    predicted = [row.index(max(row)) for row in p.tolist()]
    if draw(st.booleans()):
        rows = rng.dirichlet(np.ones(k), n).astype(draw(st.sampled_from(["float32", "float64"])))
        return Case(p, rows, (), predicted, [row.index(max(row)) for row in rows.tolist()])
    t = rng.integers(0, k, n)
    whole = t.astype(draw(st.sampled_from(WHOLE)))
    target = np.eye(k)[t].astype(draw(st.sampled_from(["float32", "int64", "bool"])))
    return Case(p, laid_out(draw, whole) if draw(st.booleans()) else target, (), predicted, t.tolist())


cases = st.one_of(one_column(), class_numbers(), columns())


def f1(prediction: Any, target: Any, *threshold: float) -> float:
    metric = F1(*threshold)
    return metric.result(metric.measure(prediction, target))


def has_two_classes(case: Case) -> bool:
    return max(case.predicted + case.meant) < 2 and np.shape(case.prediction)[1:] in ((), (1,), (2,))


def naive_values(case: Case) -> dict[str, float]:
    """Return each metric by plain counting."""
    pairs = list(zip(case.predicted, case.meant, strict=True))
    recalls = []
    for k in set(case.meant):
        of_class = [p for p, t in pairs if t == k]
        recalls.append(of_class.count(k) / len(of_class))
    values = {
        "accuracy": sum(p == t for p, t in pairs) / len(pairs),
        "balanced_accuracy": sum(recalls) / len(recalls),
    }
    if has_two_classes(case):
        tp, fp, fn = pairs.count((1, 1)), pairs.count((1, 0)), pairs.count((0, 1))
        values["precision"] = tp / (tp + fp) if tp + fp else math.nan
        values["recall"] = tp / (tp + fn) if tp + fn else math.nan
        values["f1"] = 2 * tp / (2 * tp + fp + fn) if tp + fp + fn else math.nan
    return values


METRICS: dict[str, Callable[..., float]] = {
    "accuracy": accuracy,
    "balanced_accuracy": balanced_accuracy,
    "precision": precision,
    "recall": recall,
    "f1": f1,
}


@given(cases)
def test_every_form_against_plain_counting(case: Case) -> None:
    for name, expected in naive_values(case).items():
        received = METRICS[name](case.prediction, case.target, *case.threshold)
        assert received == pytest.approx(expected, nan_ok=True, rel=1e-12), name
    most = max(case.meant.count(k) for k in set(case.meant)) / len(case.meant)
    assert majority_baseline(case.target) == pytest.approx(most, rel=1e-12)
    if has_two_classes(case):
        pairs = list(zip(case.predicted, case.meant, strict=True))
        expected_counts = tuple(pairs.count(pair) for pair in ((1, 1), (1, 0), (0, 0), (0, 1)))
        assert confusion_counts(case.prediction, case.target, *case.threshold) == expected_counts
    else:
        with pytest.raises(ValueError, match="expected the two classes 0 and 1, received the classes"):
            confusion_counts(case.prediction, case.target, *case.threshold)


@given(cases)
def test_every_form_against_scikit_learn(case: Case) -> None:
    sk = pytest.importorskip("sklearn.metrics")
    expected = {
        "accuracy": sk.accuracy_score(case.meant, case.predicted),
        "balanced_accuracy": math.nan,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of classes that occur on one side only
        expected["balanced_accuracy"] = sk.balanced_accuracy_score(case.meant, case.predicted)
    if has_two_classes(case):
        for name in ("precision", "recall", "f1"):
            expected[name] = getattr(sk, f"{name}_score")(case.meant, case.predicted, zero_division=np.nan)
        (tn, fp), (fn, tp) = sk.confusion_matrix(case.meant, case.predicted, labels=[0, 1])
        assert confusion_counts(case.prediction, case.target, *case.threshold) == (tp, fp, tn, fn)
    for name, value in expected.items():
        received = METRICS[name](case.prediction, case.target, *case.threshold)
        assert received == pytest.approx(value, nan_ok=True, rel=1e-12), name


@given(one_column(), st.integers(1, 29))
def test_f1_of_batches_is_f1_of_all(case: Case, cut: int) -> None:
    metric, p, t = F1(*case.threshold), np.array(case.prediction), np.array(case.target)
    first, second = metric.measure(p[:1], t[:1]), metric.measure(p[-1:], t[-1:])
    if 0 < cut < len(p):
        first, second = metric.measure(p[:cut], t[:cut]), metric.measure(p[cut:], t[cut:])
        assert metric.result(metric.merge(first, second)) == pytest.approx(f1(p, t, *case.threshold), nan_ok=True)
    assert metric.of_batch(p, t).counts[2].sum() == len(p)


MASKED = np.ma.array([0.2, 0.8, 0.9], mask=[False, True, False])
NAN, INF = math.nan, math.inf
LOGITS = r"prediction: expected probabilities in \[0, 1\] .*threshold=0.0.*sigmoid or softmax"
REFUSED: list[tuple[Any, Any, str]] = [
    # Logits and other numbers outside [0, 1].
    ([-3.0, 0.2, 4.0], [0, 1, 1], LOGITS),
    ([[0.2], [1.5]], [0, 1], LOGITS + "|received values from 0.2 to 1.5"),
    ([-1, 1, 1], [0, 1, 1], LOGITS),
    ([-1, 0, 2], [0, 1, 2], LOGITS),
    ([1.0, 2.5], [0, 1], LOGITS),
    # What is not finite.
    ([0.2, NAN], [0, 1], "prediction: expected finite numbers, received NaN or infinity, first in row 1"),
    ([[0.2, 0.8], [0.1, INF]], [0, 1], "prediction: expected finite numbers, .* row 1"),
    ([2.0, -INF], [0, 1], "prediction: expected finite numbers"),
    ([0.2, 0.8], [NAN, 1.0], "target: expected finite numbers, received NaN or infinity, first in row 0"),
    ([[0.2, 0.8]], [[NAN, 1.0]], "target: expected finite numbers"),
    # Class numbers beside something else.
    ([0.2, 0.9, 0.1], [0, 2, 1], "target: expected classes 0 and 1, .* from 0 to 2; for more classes predict"),
    ([0.2, 0.9], [0, -1], "target: expected classes 0 and 1, .* from -1 to 0"),
    ([False, True], [0, 2], "target: expected classes 0 and 1, .* from 0 to 2"),
    ([0.0, 1.0], [0, 2], "target: expected classes 0 and 1, .* from 0 to 2"),
    ([0, 1, 2], [0.0, 0.5, 1.0], "target: expected class numbers, as the predictions are"),
    ([0, 1, 2], [0, 1, -1], "target: expected class numbers, as the predictions are, .* from -1 to 1"),
    # Several columns.
    ([[0.2, 0.8], [0.9, 0.1]], [0, 2], "target: expected class numbers below 2, the number of columns, received 2"),
    ([[0.2, 0.8], [0.9, 0.1]], [0, -1], "target: expected class numbers, whole from 0, received values from -1"),
    ([[0.2, 0.8], [0.9, 0.1]], [0.0, 0.3], "target: expected class numbers, whole from 0"),
    ([[0.2, 0.8]], [[1, 1]], "target: expected rows of probabilities .* a sum of 2 in row 0"),
    ([[0.2, 0.8], [0.9, 0.1]], [[0, 1], [0, 0]], "target: expected rows of probabilities .* a sum of 0 in row 1"),
    ([[0.2, 0.8]], [[-1.0, 2.0]], "target: expected rows of probabilities .* from -1.0 to 2.0"),
    # Other things than numbers.
    (["a", "b"], [0, 1], "prediction: expected numbers, received dtype <U1"),
    ([0.2, 0.8], ["no", "yes"], "target: expected numbers, received dtype <U3"),
    ([None, 0.8], [0, 1], "prediction: expected numbers, received dtype object"),
    ([0.2, 0.8], [{}, 1], "target: expected numbers, received dtype object"),
    ([0.2j, 0.8], [0, 1], "prediction: expected numbers, received dtype complex128"),
    (np.array(["2020-01-01"], "M8[D]"), [1], "prediction: expected numbers, received dtype datetime64"),
    # Masked entries, also in rows of a list.
    (MASKED, [0, 1, 1], "prediction: .* mask"),
    ([0.1, 0.2, 0.3], np.ma.masked_equal([0, 1, 1], 1), "target: .* mask"),
    ([np.ma.array([0.2, 0.8], mask=[True, False]), [0.9, 0.1]], [0, 1], "prediction: .* mask"),
    ([0.5, np.ma.masked], [0, 1], "prediction: .* mask"),
    # Shapes.
    ([], [], r"prediction: expected shape \(n,\) or \(n, classes\) with at least one sample, received \(0,\)"),
    (np.zeros((3, 0)), [0, 1, 1], r"prediction: expected shape .* received \(3, 0\)"),
    ([0.5], [], r"target: expected shape .* received \(0,\)"),
    (0.5, 1, r"prediction: expected shape .* received \(\)"),
    (np.full((2, 2, 1), 0.5), [0, 1], r"prediction: expected shape .* received \(2, 2, 1\)"),
    ([[0.5, 0.5], [0.1]], [0, 1], "prediction: expected shape .* received rows that differ"),
    ([0.5, 0.5], [0, 1, 1], r"one prediction and one target a sample, received shapes \(2,\) and \(3,\)"),
    ([0.5, 0.5], [[0, 1], [1, 0]], r"one prediction and one target a sample, .* \(2,\) and \(2, 2\)"),
    ([[0.5, 0.5]], [[0, 0, 1]], r"one prediction and one target a sample, .* \(1, 2\) and \(1, 3\)"),
]
ALL: list[Callable[..., Any]] = [*METRICS.values(), confusion_counts]


@pytest.mark.parametrize("metric", ALL, ids=lambda metric: metric.__name__)
@pytest.mark.parametrize("case", range(len(REFUSED)))
def test_anything_else_is_refused_by_name(metric: Callable[..., Any], case: int) -> None:
    prediction, target, message = REFUSED[case]
    with pytest.raises(ValueError, match=message):
        metric(prediction, target)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ([0.0, NAN, 1.0], "target: expected finite numbers, received NaN or infinity, first in row 1"),
        ([0, -1, 1], r"target: expected class numbers, or probabilities in \[0, 1\], whole from 0, .* from -1 to 1"),
        ([0.5, 1.5], "target: expected class numbers, or probabilities"),
        ([[1, 1], [0, 1]], "target: expected rows of probabilities"),
        (MASKED, "target: .* mask"),
        (["cat"], "target: expected numbers, received dtype <U3"),
        ([], r"target: expected shape .* received \(0,\)"),
        (np.zeros((1, 1, 1)), r"target: expected shape .* received \(1, 1, 1\)"),
    ],
)
def test_the_majority_of_anything_else_is_refused(target: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        majority_baseline(target)


@pytest.mark.parametrize("metric", ALL, ids=lambda metric: metric.__name__)
@pytest.mark.parametrize("threshold", [NAN, INF, "0.5", True])
def test_a_threshold_is_a_finite_number(metric: Callable[..., Any], threshold: Any) -> None:
    with pytest.raises(ValueError, match="threshold: expected a finite number"):
        metric([0.2, 0.8], [0, 1], threshold)


@pytest.mark.parametrize("metric", ALL, ids=lambda metric: metric.__name__)
def test_columns_have_no_threshold(metric: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match=r"threshold: expected none for 2 columns of predictions, received 0\.3"):
        metric([[0.2, 0.8]], [1], 0.3)


@pytest.mark.parametrize("metric", ALL, ids=lambda metric: metric.__name__)
def test_masked_arrays_without_a_masked_entry_work(metric: Callable[..., Any]) -> None:
    p, t = np.array([0.2, 0.8, 0.9]), np.array([0, 1, 0])
    for prediction, target in ((np.ma.array(p), t), (p, np.ma.array(t, mask=[False] * 3))):
        assert metric(prediction, target) == metric(p, t)


def test_predicted_classes_0_and_1_beside_more_classes() -> None:
    # The other classes were never predicted: integers are class numbers, whatever their largest.
    assert accuracy([0, 1, 1, 0], [0, 1, 2, 2]) == 0.5
    assert balanced_accuracy([0, 1, 1, 0], [0, 1, 2, 2]) == pytest.approx(2 / 3)


def test_three_columns_are_never_two_classes() -> None:
    with pytest.raises(ValueError, match=r"the two classes 0 and 1, received the classes \[0, 1, 2\]"):
        confusion_counts([[0.7, 0.2, 0.1]], [1])


def test_f1_while_training_on_logits() -> None:
    x = np.random.default_rng(0).normal(size=(20, 2)).astype(np.float32)
    y = x[:, 0] > 0.3

    def trained(metric: F1) -> Trainer:
        model = Sequential(Dense(2, 1, rng=1))
        trainer = Trainer(model, BinaryCrossEntropy(from_logits=True), SGD(model.parameters(), 0.5), {"f1": metric})
        trainer.fit(20 * x, y, 3, print_every=None)
        return trainer

    with pytest.raises(ValueError, match=r"threshold=0\.0"):
        trained(F1())
    trainer = trained(F1(threshold=0.0))
    expected = f1((trainer.model.predict(20 * x) > 0).astype(int), y)
    assert 0 < trainer.evaluate(20 * x, y)["f1"] == expected
