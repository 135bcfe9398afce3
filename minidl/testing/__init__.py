"""Checks for the layers and losses that users write."""

from minidl.errors import ContractError, GradientError
from minidl.testing.contract import check_layer
from minidl.testing.gradcheck import gradcheck
from minidl.testing.loss_contract import check_loss

__all__ = ["ContractError", "GradientError", "check_layer", "check_loss", "gradcheck"]
