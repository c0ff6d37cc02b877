"""Optimizers: they change Variables along gradients, and keep their state in Variables."""

from eagerflow.optim.adam import Adam, AdamW
from eagerflow.optim.clipping import clip_by_global_norm
from eagerflow.optim.loss_scale import DynamicLossScale, LossScale
from eagerflow.optim.optimizer import Optimizer
from eagerflow.optim.sgd import SGD

__all__ = ["SGD", "Adam", "AdamW", "DynamicLossScale", "LossScale", "Optimizer", "clip_by_global_norm"]
