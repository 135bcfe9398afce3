"""Metrics: numbers for people, over a whole set, that no gradient is taken of."""

from minidl.metrics.classification import (
    F1,
    ConfusionCounts,
    accuracy,
    balanced_accuracy,
    confusion_counts,
    majority_baseline,
    precision,
    recall,
)
from minidl.metrics.metric import FunctionMetric, Metric, MetricFunction

__all__ = [
    "F1",
    "ConfusionCounts",
    "FunctionMetric",
    "Metric",
    "MetricFunction",
    "accuracy",
    "balanced_accuracy",
    "confusion_counts",
    "majority_baseline",
    "precision",
    "recall",
]
