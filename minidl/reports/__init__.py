"""Reports: what a trained network does, for people."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from minidl.reports.classification import ClassificationReport, classification_report
    from minidl.reports.contact_sheet import draw_contact_sheet

# Reports wait for their first use, as those of pictures wait for Pillow.
_ON_FIRST_USE = {
    "ClassificationReport": "classification",
    "classification_report": "classification",
    "draw_contact_sheet": "contact_sheet",
}

__all__ = ["ClassificationReport", "classification_report", "draw_contact_sheet"]


def __getattr__(name: str) -> Any:
    if name not in _ON_FIRST_USE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"minidl.reports.{_ON_FIRST_USE[name]}"), name)
