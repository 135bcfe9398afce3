"""Reports: what a trained network does, for people."""

from minidl.reports.classification import ClassificationReport, classification_report

__all__ = ["ClassificationReport", "classification_report"]
