"""Pictures of what a run of training leaves: its cost curve, and test photographs with the verdicts on them."""

from pictures.contact_sheet import draw_predictions
from pictures.cost_curve import draw_cost_curve

__all__ = ["draw_cost_curve", "draw_predictions"]
