"""Layers: modules that hold Variables, and the functions that networks are made of."""

from eagerflow.nn import initializers
from eagerflow.nn.convolution import Conv2D
from eagerflow.nn.dropout import Dropout, dropout
from eagerflow.nn.embedding import Embedding
from eagerflow.nn.linear import Linear
from eagerflow.nn.lstm import LSTM
from eagerflow.nn.module import Module, count_parameters
from eagerflow.nn.normalization import BatchNorm, LayerNorm
from eagerflow.nn.pooling import MaxPool2D
from eagerflow.nn.sequential import Sequential
from eagerflow.nn.shape import Flatten
from eagerflow.ops.networks.activation import (
    elu,
    gelu,
    leaky_relu,
    log_sigmoid,
    log_softmax,
    relu,
    sigmoid,
    silu,
    softmax,
    softplus,
)
from eagerflow.ops.networks.attention import scaled_dot_product_attention
from eagerflow.ops.networks.convolution import conv1d, conv1d_transpose, conv2d, conv2d_transpose
from eagerflow.ops.networks.embedding import embedding, one_hot
from eagerflow.ops.networks.loss import sigmoid_cross_entropy, softmax_cross_entropy
from eagerflow.ops.networks.lstm import lstm
from eagerflow.ops.networks.normalization import batch_norm, batch_norm_inference, layer_norm, rms_norm
from eagerflow.ops.networks.pooling import avg_pool1d, avg_pool2d, max_pool1d, max_pool2d

__all__ = [
    "LSTM",
    "BatchNorm",
    "Conv2D",
    "Dropout",
    "Embedding",
    "Flatten",
    "LayerNorm",
    "Linear",
    "MaxPool2D",
    "Module",
    "Sequential",
    "avg_pool1d",
    "avg_pool2d",
    "batch_norm",
    "batch_norm_inference",
    "conv1d",
    "conv1d_transpose",
    "conv2d",
    "conv2d_transpose",
    "count_parameters",
    "dropout",
    "elu",
    "embedding",
    "gelu",
    "initializers",
    "layer_norm",
    "leaky_relu",
    "log_sigmoid",
    "log_softmax",
    "lstm",
    "max_pool1d",
    "max_pool2d",
    "one_hot",
    "relu",
    "rms_norm",
    "scaled_dot_product_attention",
    "sigmoid",
    "sigmoid_cross_entropy",
    "silu",
    "softmax",
    "softmax_cross_entropy",
    "softplus",
]
