"""Reports: what a trained network does, for people."""

from typing import TYPE_CHECKING, Any

from minidl.reports.classification import ClassificationReport, classification_report

if TYPE_CHECKING:
    from minidl.reports.contact_sheet import draw_contact_sheet

__all__ = ["ClassificationReport", "classification_report", "draw_contact_sheet"]


def __getattr__(name: str) -> Any:
    if name != "draw_contact_sheet":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from minidl.reports.contact_sheet import draw_contact_sheet  # on first use, as it waits for Pillow

    return draw_contact_sheet
