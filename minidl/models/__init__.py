"""Ready networks, each a plain composition of layers."""

from minidl.models.feedforward import mlp
from minidl.models.pictures import convnet, resnet
from minidl.models.sequences import lstm_classifier, transformer

__all__ = ["convnet", "lstm_classifier", "mlp", "resnet", "transformer"]
