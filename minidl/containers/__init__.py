"""Containers: modules made of other modules, nested at will."""

from minidl.containers.masked import Masked
from minidl.containers.parallel import Parallel
from minidl.containers.residual import Residual
from minidl.containers.sequential import Sequential
from minidl.containers.transformer_block import TransformerBlock

__all__ = ["Masked", "Parallel", "Residual", "Sequential", "TransformerBlock"]
