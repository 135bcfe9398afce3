"""Checks for the layers and losses that users write."""

from minidl.testing.contract import ContractError, check_layer, check_loss
from minidl.testing.gradcheck import GradientError, gradcheck

__all__ = ["ContractError", "GradientError", "check_layer", "check_loss", "gradcheck"]
