"""Reports: what a trained network does, for people."""

from typing import TYPE_CHECKING

from minidl._lazy import on_first_use

if TYPE_CHECKING:
    from minidl.reports.classification import ClassificationReport, classification_report
    from minidl.reports.contact_sheet import draw_contact_sheet

__all__ = ["ClassificationReport", "classification_report", "draw_contact_sheet"]

# Reports wait for their first use, as those of pictures wait for Pillow.
__getattr__ = on_first_use(
    __name__,
    {
        "ClassificationReport": "minidl.reports.classification",
        "classification_report": "minidl.reports.classification",
        "draw_contact_sheet": "minidl.reports.contact_sheet",
    },
)
