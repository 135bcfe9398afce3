"""Checks for the layers and losses that users write."""

from minidl.errors import ContractError, GradientError
from minidl.testing.contract import check_layer, check_loss
from minidl.testing.gradcheck import gradcheck

__all__ = ["ContractError", "GradientError", "check_layer", "check_loss", "gradcheck"]
