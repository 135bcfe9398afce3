"""Metrics: numbers for people, over a whole set, that no gradient is taken of.

All that judge classes take predictions and targets as `minidl.metrics.classes` tells them apart: with one column, (n,)
or (n, 1), predictions are probabilities of class 1, class numbers, or, with a threshold given, any numbers; with
several, (n, classes), the largest is meant. Targets are class numbers, or probabilities like the predictions.

An object measures batches and is given to `Trainer(metrics=...)`; called with two arrays, or three with weights of the
samples, it returns its number for these. The functions do the same for whole arrays.

Errors of all: ValueError that names the argument for NaN and infinity, masked entries, other things than numbers, other
shapes, different numbers of samples or none, and numbers outside these domains, such as logits without a threshold.

A ratio of 0 to 0 is not a number: `nan` says so, where 0 would look like a bad result and 1 like a good one. A mean
over classes leaves out those for which the ratio is not defined, and is nan where none is left.
"""

from minidl.metrics.accuracy import Accuracy, TopKAccuracy, accuracy, majority_baseline
from minidl.metrics.classification import balanced_accuracy, f1, precision, recall
from minidl.metrics.confusion import ConfusionCounts, confusion_counts, confusion_matrix
from minidl.metrics.log_loss import LogLoss
from minidl.metrics.metric import FunctionMetric, Metric, MetricFunction
from minidl.metrics.ranking import AveragePrecision, RocAuc
from minidl.metrics.ratios import F1, BalancedAccuracy, Precision, Recall
from minidl.metrics.regression import R2, MeanAbsoluteError, RootMeanSquaredError

__all__ = [
    "F1",
    "R2",
    "Accuracy",
    "AveragePrecision",
    "BalancedAccuracy",
    "ConfusionCounts",
    "FunctionMetric",
    "LogLoss",
    "MeanAbsoluteError",
    "Metric",
    "MetricFunction",
    "Precision",
    "Recall",
    "RocAuc",
    "RootMeanSquaredError",
    "TopKAccuracy",
    "accuracy",
    "balanced_accuracy",
    "confusion_counts",
    "confusion_matrix",
    "f1",
    "majority_baseline",
    "precision",
    "recall",
]
