"""Metrics as objects, with weights and in batches: against plain loops."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import reduce
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import seeds

from minidl import SGD, Dense, Sequential, SoftmaxCrossEntropy, Trainer
from minidl._typing import Array
from minidl.metrics import (
    F1,
    R2,
    Accuracy,
    AveragePrecision,
    BalancedAccuracy,
    FunctionMetric,
    LogLoss,
    MeanAbsoluteError,
    Metric,
    Precision,
    Recall,
    RocAuc,
    RootMeanSquaredError,
    TopKAccuracy,
    accuracy,
    balanced_accuracy,
    confusion_counts,
    confusion_matrix,
    f1,
    majority_baseline,
    precision,
    recall,
)
from minidl.metrics import metric as metric_module

NAN = math.nan
RATIOS: dict[str, tuple[type[Precision | Recall | F1], Any]] = {
    "precision": (Precision, precision),
    "recall": (Recall, recall),
    "f1": (F1, f1),
}


@dataclass(frozen=True)
class Case:
    """Scores (n, k), or (n,) for two classes, with ties; targets (n,), often without some class; weights or None."""

    scores: Array
    target: Array
    weight: Array | None
    cuts: tuple[int, ...]

    @property
    def classes(self) -> int:
        return 2 if self.scores.ndim == 1 else self.scores.shape[1]

    @property
    def w(self) -> Array:
        return np.ones(len(self.target)) if self.weight is None else self.weight

    @property
    def predicted(self) -> Array:
        chosen: Array = self.scores > 0.5 if self.scores.ndim == 1 else self.scores.argmax(axis=1)
        return chosen.astype(int)


def of_batches(
    metric: Metric, prediction: Array, target: Array, weight: Array | None, cuts: tuple[int, ...], chunk: int = 5
) -> float:
    """Return the metric of a set that is measured in batches."""
    bounds = [0, *sorted({cut % len(target) for cut in cuts} - {0}), len(target)]
    measure: Any = metric.measure
    measured = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(metric_module, "CHUNK", chunk)  # so that there are chunks, and batches that wait for more
        for start, stop in pairwise(bounds):
            weights = () if weight is None else (weight[start:stop],)
            measured.append(measure(prediction[start:stop], target[start:stop], *weights))
        return metric.result(reduce(metric.merge, measured))


def result(metric: Metric, case: Case) -> float:
    return of_batches(metric, case.scores, case.target, case.weight, case.cuts)


def weights_of(draw: st.DrawFn, rng: np.random.Generator, n: int, *kinds: str) -> Array | None:
    kind = draw(st.sampled_from(["none", "counts", "any", *kinds]))
    if kind == "none":
        return None
    if kind == "counts":
        return rng.integers(0, 3, n)
    return rng.uniform(0, 5, n) if kind == "any" else 10.0 ** rng.integers(-30, 30, n)


@st.composite
def cases(draw: st.DrawFn, least: int = 1) -> Case:
    rng, n, k = np.random.default_rng(draw(seeds)), draw(st.integers(1, 20)), draw(st.integers(least, 5))
    steps = draw(st.sampled_from([2, 4, 1000]))
    scores = rng.integers(0, steps + 1, n) / steps
    if k > 1:
        rows = rng.integers(1, steps + 1, (n, k)).astype(float)
        scores = rows / rows.sum(axis=1, keepdims=True)
    target = rng.choice(rng.integers(0, max(2, k), draw(st.integers(1, 4))), n)  # of some of the classes
    return Case(
        scores, target, weights_of(draw, rng, n, "wide"), tuple(draw(st.lists(st.integers(0, 100), max_size=3)))
    )


def quotient(part: float, whole: float) -> float:
    return part / whole if whole else NAN


def plain_counts(case: Case) -> list[tuple[float, float, float]]:
    """Return, for each class, the weights rightly predicted, predicted and meant."""
    rows = list(zip(case.predicted.tolist(), case.target.tolist(), case.w.tolist(), strict=True))
    return [
        (
            math.fsum(w for p, t, w in rows if p == t == k),
            math.fsum(w for p, _, w in rows if p == k),
            math.fsum(w for _, t, w in rows if t == k),
        )
        for k in range(case.classes)
    ]


def plain_ratio(name: str, counts: tuple[float, float, float]) -> float:
    right, predicted, meant = counts
    if name == "f1":
        return quotient(2 * right, predicted + meant)
    return quotient(right, predicted if name == "precision" else meant)


def plain_mean(values: list[float], weights: list[float]) -> float:
    pairs = [(value, w) for value, w in zip(values, weights, strict=True) if not math.isnan(value)]
    if pairs and not any(w for _, w in pairs):
        return math.fsum(value for value, _ in pairs) / len(pairs)
    return quotient(math.fsum(value * w for value, w in pairs), math.fsum(w for _, w in pairs))


def equal(found: Any, expected: Any) -> None:
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12, equal_nan=True)


@given(cases())
def test_ratios_of_classes_against_plain_counting(case: Case) -> None:
    counts, columns = plain_counts(case), (case.scores, case.target)
    sums = [math.fsum(count[i] for count in counts) for i in range(3)]
    for name, (kind, function) in RATIOS.items():
        values = [plain_ratio(name, count) for count in counts]
        equal(function(*columns, average=None, sample_weight=case.weight), values)
        for k, value in enumerate(values):
            equal(result(kind(class_index=k), case), value)
        expected = {
            "macro": plain_mean(values, [1.0] * len(values)),
            "weighted": plain_mean(values, [count[2] for count in counts]),
            "micro": plain_ratio(name, (sums[0], sums[1], sums[2])),
        }
        if case.classes == 2:
            expected["binary"] = values[1]
        for average, value in expected.items():
            metric: Metric = kind(average=average)  # type: ignore[arg-type]
            found = result(metric, case)
            equal(found, value)
            equal(function(*columns, average=average, sample_weight=case.weight), value)
            assert not found > 1 or found == pytest.approx(1, rel=1e-15)
            assert metric.name == (name if average == "binary" else f"{name}_{average}")
    for metric, function, value in (
        (Accuracy(), accuracy, quotient(sums[0], sums[2])),
        (
            BalancedAccuracy(),
            balanced_accuracy,
            plain_mean([quotient(c[0], c[2]) for c in counts], [1.0] * len(counts)),
        ),
    ):
        equal(result(metric, case), value)
        equal(function(*columns, sample_weight=case.weight), value)
    equal(majority_baseline(case.target, case.weight), quotient(max(c[2] for c in counts), sums[2]))


@given(cases())
def test_confusion_matrices_against_plain_counting(case: Case) -> None:
    expected = np.zeros((case.classes, case.classes))
    for p, t, w in zip(case.predicted, case.target, case.w, strict=True):
        expected[t, p] += w
    matrix = confusion_matrix(case.scores, case.target, sample_weight=case.weight)
    np.testing.assert_allclose(matrix, expected, rtol=1e-12)
    assert (matrix.dtype.kind == "f") == (case.weight is not None)
    numbers = case.predicted, case.target
    np.testing.assert_allclose(confusion_matrix(*numbers, case.classes, sample_weight=case.weight), expected)
    largest = max(case.predicted.max(), case.target.max())
    if largest:
        assert len(confusion_matrix(*numbers)) == largest + 1
        with pytest.raises(ValueError, match=f"classes: expected more than the largest class number {largest}"):
            confusion_matrix(*numbers, classes=largest)
    if case.classes == 2:
        (tn, fp), (fn, tp) = expected.tolist()
        counts = confusion_counts(case.scores, case.target, sample_weight=case.weight)
        np.testing.assert_allclose(counts, [tp, fp, tn, fn], rtol=1e-12)


@given(cases(least=2), st.integers(1, 5))
def test_top_k_against_plain_sorting(case: Case, k: int) -> None:
    k = min(k, case.classes)
    right = 0.0
    for row, t, w in zip(case.scores.tolist(), case.target.tolist(), case.w.tolist(), strict=True):
        right += w * (t in sorted(range(case.classes), key=lambda c: (row[c], c), reverse=True)[:k])
    equal(result(TopKAccuracy(k), case), quotient(right, case.w.sum()))
    assert TopKAccuracy(k).name == f"top_{k}_accuracy"


def plain_ranking(scores: Array, positive: Array, w: Array) -> tuple[float, float]:
    """Return the area under the ROC curve by all pairs, and the average precision by all thresholds."""
    rows = [(s, p, v) for s, p, v in zip(scores.tolist(), positive.tolist(), w.tolist(), strict=True) if v]
    of, other = [(s, v) for s, p, v in rows if p], [(s, v) for s, p, v in rows if not p]
    total, rest = math.fsum(v for _, v in of), math.fsum(v for _, v in other)
    wins = math.fsum(v / total * u / rest * ((s > r) + (s == r) / 2) for s, v in of for r, u in other)
    precision = 0.0
    for score in {s for s, _ in of}:
        found, wrong = math.fsum(v for s, v in of if s >= score), math.fsum(v for s, v in other if s >= score)
        precision += math.fsum(v for s, v in of if s == score) / total * found / (found + wrong)
    return wins if of and other else NAN, precision if of else NAN


@given(cases(), st.sampled_from(["macro", "weighted"]))
def test_rankings_against_all_pairs(case: Case, average: Any) -> None:
    if case.scores.ndim == 1 or case.classes == 2:
        scores = case.scores if case.scores.ndim == 1 else case.scores[:, 1]
        expected = plain_ranking(scores, case.target == 1, case.w)
    else:
        pairs = [plain_ranking(case.scores[:, k], case.target == k, case.w) for k in range(case.classes)]
        meant = [float(case.w[case.target == k].sum()) for k in range(case.classes)]
        weights = meant if average == "weighted" else [1.0] * len(meant)
        expected = plain_mean([a for a, _ in pairs], weights), plain_mean([b for _, b in pairs], weights)
    for metric, value in zip((RocAuc(average), AveragePrecision(average)), expected, strict=True):
        found = result(metric, case)
        equal(found, value)
        assert math.isnan(found) or 0 <= found <= 1
        assert metric.higher_is_better


def plain_log_loss(case: Case) -> float:
    total = 0.0
    for row, t, w in zip(case.scores.tolist(), case.target.tolist(), case.w.tolist(), strict=True):
        p = row[t] if case.scores.ndim == 2 else (row if t else 1 - row)
        total -= w * math.log(min(max(p, 2.0**-52), 1 - 2.0**-52))
    return quotient(total, float(case.w.sum()))


@given(cases())
def test_log_loss_against_plain_logarithms(case: Case) -> None:
    np.testing.assert_allclose(result(LogLoss(), case), plain_log_loss(case), rtol=1e-12)
    if case.scores.ndim == 2:
        logits = Case(np.log(case.scores) + 3, case.target, case.weight, case.cuts)
        np.testing.assert_allclose(result(LogLoss(True), logits), result(LogLoss(), case), rtol=1e-12, atol=1e-13)
        one_hot = np.eye(case.classes)[case.target]
        equal(LogLoss()(case.scores, one_hot, case.weight), result(LogLoss(), case))
    else:
        inner = np.clip(case.scores, 0.01, 0.99)
        logits = Case(np.log(inner) - np.log1p(-inner), case.target, case.weight, case.cuts)
        expected = result(LogLoss(), Case(inner, case.target, case.weight, case.cuts))
        np.testing.assert_allclose(result(LogLoss(True), logits), expected, rtol=1e-12)


@dataclass(frozen=True)
class Numbers:
    prediction: Array
    target: Array
    weight: Array | None
    cuts: tuple[int, ...]


@st.composite
def numbers(draw: st.DrawFn) -> Numbers:
    rng, n = np.random.default_rng(draw(seeds)), draw(st.integers(1, 20))
    outputs = draw(st.sampled_from([(), (1,), (3,)]))
    target = rng.integers(-3, 4, (n, *outputs)) / 3 + draw(st.sampled_from([0.0, 1.0, -40.0]))
    prediction = target + rng.normal(size=target.shape) * draw(st.sampled_from([0.0, 1e-3, 1.0]))
    if draw(st.booleans()):
        target = np.full_like(target, 0.1)
    weight = weights_of(draw, rng, n)
    return Numbers(prediction, target, weight, tuple(draw(st.lists(st.integers(0, 100), max_size=3))))


def plain_regression(p: Array, t: Array, w: Array) -> tuple[float, float, float]:
    """Return mean absolute error, its squared kin and R2 of one output."""
    rows = list(zip(p.tolist(), t.tolist(), w.tolist(), strict=True))
    total = math.fsum(w)
    absolute, squared = (math.fsum(v * abs(a - b) ** power for a, b, v in rows) for power in (1, 2))
    constant = len({b for _, b, v in rows if v}) < 2
    mean = math.fsum(v * b for _, b, v in rows) / total if total else NAN
    spread = 0.0 if constant else math.fsum(v * (b - mean) ** 2 for _, b, v in rows)
    return quotient(absolute, total), math.sqrt(quotient(squared, total)), 1 - quotient(squared, spread)


@given(numbers())
def test_regression_against_plain_sums(case: Numbers) -> None:
    n = len(case.target)
    w = np.ones(n) if case.weight is None else case.weight
    columns = [(a, b) for a, b in zip(case.prediction.reshape(n, -1).T, case.target.reshape(n, -1).T, strict=True)]
    expected = [plain_regression(p, t, w) for p, t in columns]
    for metric, i in ((MeanAbsoluteError(), 0), (RootMeanSquaredError(), 1)):
        found = of_batches(metric, case.prediction, case.target, case.weight, case.cuts)
        np.testing.assert_allclose(found, np.mean([values[i] for values in expected]), rtol=1e-12)
    found = of_batches(R2(), case.prediction, case.target, case.weight, case.cuts)
    shares = [values[2] for values in expected]
    # What is lost near 1e-16 of the largest target is lost of distances from the mean, too.
    scale = 1 + max([abs(1 - share) for share in shares if not math.isnan(share)], default=0)
    np.testing.assert_allclose(found / scale, plain_mean(shares, [1.0] * len(shares)) / scale, rtol=0, atol=1e-11)


def test_a_wrong_answer_without_doubt_has_a_finite_log_loss() -> None:
    for dtype in (np.float32, np.float64):
        eps = float(np.finfo(dtype).eps)
        assert LogLoss()(np.array([[0, 1, 0]], dtype), [2]) == pytest.approx(-math.log(eps), rel=1e-12)
        assert LogLoss()(np.array([0, 1], dtype), [1, 0]) == pytest.approx(-math.log(eps), rel=1e-12)
        assert LogLoss()(np.array([[0, 1, 0]], dtype), [1]) == pytest.approx(eps, rel=1e-6)
    assert LogLoss(True)([[0.0, 800.0, 0.0]], [2]) == 800


def test_r2_of_targets_that_are_all_the_same() -> None:
    same = np.array([0.1, 0.1, 0.1])
    assert math.isnan(R2()(same + 1, same))
    assert math.isnan(of_batches(R2(), same, same, None, (1, 2)))
    assert math.isnan(R2()([5.3, 1, 2, 3], [5.3, *same], [0, 1, 1, 1]))
    assert R2()(np.array([[1.0, 9], [2, 9]]), np.array([[1.0, 5], [2, 5]])) == 1  # of the first output alone


def test_logits_have_the_ranking_of_their_probabilities() -> None:
    z, t = np.random.default_rng(0).normal(size=(40, 3)), np.random.default_rng(1).integers(0, 3, 40)
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    for kind in (RocAuc, AveragePrecision):
        equal(kind()(z, t), kind()(p, t))
        equal(kind()(z[:, :2], t % 2), kind()(z[:, 1] - z[:, 0], t % 2))
        equal(kind()(z[:, 0], t % 2), kind()(1 / (1 + np.exp(-z[:, 0])), t % 2))


def test_class_numbers_that_other_batches_do_not_have() -> None:
    p, t = np.array([0, 7, 7, 1, 900]), np.array([0, 7, 3, 0, 900])
    expected = precision(p, t, average="macro")
    assert of_batches(Precision(average="macro"), p, t, None, (1, 2, 3, 4), 1) == expected == (1 + 0.5 + 0 + 1) / 4
    assert of_batches(Precision(class_index=7), p, t, None, (1, 3), 1) == 0.5
    assert math.isnan(of_batches(Precision(class_index=5), p, t, None, (1, 3), 1))
    assert of_batches(Precision(average="macro"), 10**12 * p, 10**12 * t, None, (2,), 1) == expected


def test_batches_that_do_not_go_together() -> None:
    p, t, w = np.array([0.9, 0.2, 0.7, 0.6]), np.array([1, 0, 0, 1]), np.array([1, 1, 3, 1])
    metric = Accuracy()
    parts = [
        metric.measure(p[:1], t[:1]),
        metric.measure(p[1:2, None], t[1:2]),
        metric.measure(p[2:3].tolist(), t[2:3], w[2:3]),
        metric.measure(p[3:].astype(np.float32), t[3:], w[3:]),
    ]
    assert metric.result(reduce(metric.merge, parts)) == accuracy(p, t, sample_weight=w) == 0.5
    kinds: list[Any] = [Accuracy, RocAuc, LogLoss, MeanAbsoluteError]
    for kind in kinds:
        with pytest.raises(ValueError, match="expected"):
            kind().measure(p[:3], t[:2])
        with pytest.raises(ValueError, match="sample_weight"):
            kind().measure(p, t, w[:2])


def test_what_was_measured_is_kept_though_its_memory_is_written_over() -> None:
    p, t = np.array([0.9, 0.2]), np.array([1, 0])
    metrics: list[Any] = [Accuracy(), RocAuc()]
    for metric in metrics:
        measured = metric.measure(p, t)
        p[:] = p[::-1].copy()
        assert metric.result(measured) == 1
        assert metric.result(measured) == 1
        p[:] = 0.9, 0.2


def test_functions_are_given_weights_where_they_take_them() -> None:
    p, t, w = np.array([0.9, 0.2, 0.7]), np.array([1, 0, 0]), np.array([1.0, 2.0, 5.0])
    assert of_batches(FunctionMetric(accuracy), p, t, w, (1,)) == 3 / 8
    assert of_batches(FunctionMetric(lambda p, t: float(len(p))), p, t, w, (1,)) == 3
    metric = FunctionMetric(accuracy)
    measured = metric.merge(metric.measure(p[:1], t[:1]), metric.measure(p[1:], t[1:], w[1:]))
    assert metric.result(measured) == 3 / 8


def test_a_users_metric_of_two_arguments_has_a_name_and_can_be_called() -> None:
    class MyMAEOfPrices(Metric):
        def measure(self, prediction: Array, target: Array) -> Array:
            return np.array([np.abs(prediction - target).sum(), len(target)])

        def result(self, measured: Array) -> float:
            return float(measured[0] / measured[1])

    class Named(MyMAEOfPrices):
        name = "price"

    assert MyMAEOfPrices()(np.ones(2), np.zeros(2)) == 1
    assert (MyMAEOfPrices.name, Named().name) == ("my_mae_of_prices", "price")
    names = [metric().name for metric in (RocAuc, R2, F1, BalancedAccuracy, LogLoss, RootMeanSquaredError)]
    assert names == ["roc_auc", "r2", "f1", "balanced_accuracy", "log_loss", "root_mean_squared_error"]


ALL: list[Metric] = [
    *(Accuracy(), BalancedAccuracy(), Precision(), Recall(), F1(), LogLoss(), RocAuc(), AveragePrecision()),
    *(MeanAbsoluteError(), RootMeanSquaredError(), R2()),
]


@pytest.mark.parametrize("metric", ALL, ids=lambda metric: metric.name)
def test_numbers_that_are_none_are_refused_by_name(metric: Metric) -> None:
    good = np.array([0.5, 1.0])
    wrong: list[Any] = [[0.2, NAN], ["a", "b"], np.ma.masked_equal([0, 1], 1), []]
    for bad in wrong:
        with pytest.raises(ValueError, match="prediction: expected"):
            metric(bad, good)
        with pytest.raises(ValueError, match=r"target: expected|expected (predictions|one prediction)"):
            metric(good, bad)
    for weights, message in (
        ([1, NAN], "NaN"),
        ([1, -1], "from 0 to 1e"),
        ([1, 1e101], "from 0 to 1e"),
        ([1, 2, 3], r"each of 2 samples, received shape \(3,\)"),
    ):
        with pytest.raises(ValueError, match=f"sample_weight: expected .*{message}"):
            metric(good, good, weights)
    with pytest.raises(ValueError, match=r"prediction|expected"):
        metric(np.ones((2, 1)), np.ones((2, 2)))
    assert math.isnan(metric(good, good, [0, 0]))


def test_arguments_that_make_no_metric_are_refused() -> None:
    for kind in (Precision, Recall, F1):
        with pytest.raises(ValueError, match=f"{kind.__name__} average: expected one of binary, macro, .*'mean'"):
            kind(average="mean")  # type: ignore[arg-type]
        for wrong in (-1, 0.5, True):
            with pytest.raises(ValueError, match=f"{kind.__name__} class_index: expected a class number"):
                kind(class_index=wrong)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="no average beside it"):
            kind(average="macro", class_index=1)
        with pytest.raises(ValueError, match="class_index: expected a class below 3, received 3"):
            kind(class_index=3)(np.eye(3), [0, 1, 2])
    with pytest.raises(ValueError, match="RocAuc average: expected macro or weighted, received 'micro'"):
        RocAuc("micro")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="TopKAccuracy k: expected a whole number"):
        TopKAccuracy(0)
    with pytest.raises(ValueError, match=r"expected at least 3 columns for top_3_accuracy, received shape \(2, 2\)"):
        TopKAccuracy(3)(np.eye(2), [0, 1])
    with pytest.raises(ValueError, match="LogLoss from_logits: expected True or False"):
        LogLoss(1)  # type: ignore[arg-type]
    for logits in ([2.0, -1.0], [[2.0, 0.5], [0.1, 0.2]]):
        with pytest.raises(ValueError, match=r"prediction: expected .*probabilities.*from_logits=True"):
            LogLoss()(logits, [0, 1])


@pytest.mark.parametrize("metric", [MeanAbsoluteError(), RootMeanSquaredError(), R2()], ids=lambda metric: metric.name)
def test_errors_beyond_all_numbers_are_refused(metric: Metric) -> None:
    with np.errstate(all="raise"), pytest.raises(ValueError, match="expected numbers whose sums are finite"):
        metric(np.array([1e308, -1e308]), np.array([-1e308, 1e308]))


@pytest.mark.parametrize("metric", ALL, ids=lambda metric: metric.name)
def test_tiny_numbers_raise_no_alarm(metric: Metric) -> None:
    p, t = np.array([1e-300, 0.7, 0.3, 1.0]), np.array([0, 1, 1, 0])
    with np.errstate(all="raise"):
        assert math.isfinite(metric(p, t, [1e-300, 1.0, 5e-324, 1e100]))
        assert math.isfinite(metric(p, t))


def test_an_error_of_a_metric_says_which_one() -> None:
    x, y = np.random.default_rng(0).normal(size=(9, 2)), np.arange(9) % 3
    model = Sequential(Dense(2, 3, rng=0))
    trainer = Trainer(model, SoftmaxCrossEntropy(), SGD(model.parameters()), metrics=[F1()])
    with pytest.raises(ValueError, match=r"^metrics f1: expected the two classes 0 and 1"):
        trainer.fit(x, y, epochs=1)
