"""Checks for the layers and losses that users write."""

from minidl.testing.gradcheck import GradientError, gradcheck

__all__ = ["GradientError", "gradcheck"]
