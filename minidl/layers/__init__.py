"""The layers, one idea a file."""

from minidl.layers.average_pool import AveragePool1D, AveragePool2D, GlobalAveragePool2D
from minidl.layers.batch_norm import BatchNorm
from minidl.layers.conv import Conv2D
from minidl.layers.conv1d import Conv1D
from minidl.layers.conv_transpose import ConvTranspose2D
from minidl.layers.dense import Dense
from minidl.layers.dropout import Dropout
from minidl.layers.elu import ELU, SELU
from minidl.layers.embedding import Embedding
from minidl.layers.flatten import Flatten
from minidl.layers.gelu import GELU
from minidl.layers.global_max_pool import GlobalMaxPool2D
from minidl.layers.group_norm import GroupNorm
from minidl.layers.gru import GRU
from minidl.layers.hard_swish import HardSwish
from minidl.layers.layer_norm import LayerNorm
from minidl.layers.leaky_relu import LeakyReLU
from minidl.layers.log_softmax import LogSoftmax
from minidl.layers.lstm import LSTM
from minidl.layers.max_pool import MaxPool1D, MaxPool2D
from minidl.layers.normalize import Normalize
from minidl.layers.pool_over_time import GlobalAveragePool1D, GlobalMaxPool1D
from minidl.layers.positional_embedding import PositionalEmbedding
from minidl.layers.prelu import PReLU
from minidl.layers.relu import ReLU
from minidl.layers.relu6 import ReLU6
from minidl.layers.rescale import Rescale
from minidl.layers.rms_norm import RMSNorm
from minidl.layers.self_attention import SelfAttention
from minidl.layers.sigmoid import Sigmoid
from minidl.layers.silu import SiLU
from minidl.layers.softmax import Softmax
from minidl.layers.softplus import Softplus
from minidl.layers.tanh import Tanh
from minidl.layers.up_sample import UpSample2D

__all__ = [
    "ELU",
    "GELU",
    "GRU",
    "LSTM",
    "SELU",
    "AveragePool1D",
    "AveragePool2D",
    "BatchNorm",
    "Conv1D",
    "Conv2D",
    "ConvTranspose2D",
    "Dense",
    "Dropout",
    "Embedding",
    "Flatten",
    "GlobalAveragePool1D",
    "GlobalAveragePool2D",
    "GlobalMaxPool1D",
    "GlobalMaxPool2D",
    "GroupNorm",
    "HardSwish",
    "LayerNorm",
    "LeakyReLU",
    "LogSoftmax",
    "MaxPool1D",
    "MaxPool2D",
    "Normalize",
    "PReLU",
    "PositionalEmbedding",
    "RMSNorm",
    "ReLU",
    "ReLU6",
    "Rescale",
    "SelfAttention",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Tanh",
    "UpSample2D",
]
