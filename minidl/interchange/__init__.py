"""Networks and their states in other programs' formats; each needs an extra where it is used."""

from minidl.interchange.pytorch import load_pytorch_state, pytorch_state, save_pytorch_state

__all__ = ["load_pytorch_state", "pytorch_state", "save_pytorch_state"]
