"""Pictures of the results of training: the cost curve, and test photographs with their predictions."""

from pictures.contact_sheet import draw_predictions
from pictures.cost_curve import draw_cost_curve

__all__ = ["draw_cost_curve", "draw_predictions"]
