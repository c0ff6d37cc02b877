"""Write NumPy. Get gradients, graphs, GPUs and clusters.

Operations run at once on NumPy or CuPy arrays while a gradient tape records them.

Examples
--------
>>> import eagerflow as ef
>>> ef.grad(lambda x: ef.sum(ef.sin(x) * x))(ef.asarray([0.0, 1.0]))
Tensor([0.        , 1.38177329])
"""

from eagerflow import capture as capture
from eagerflow import config as config
from eagerflow import devices as devices
from eagerflow import einops_backend as _einops_backend  # noqa: F401 - it waits for einops
from eagerflow import errors as errors
from eagerflow import nn as nn
from eagerflow import ops as ops
from eagerflow import optim as optim
from eagerflow import profiler as profiler
from eagerflow import random as random
from eagerflow.capture.function import function as function
from eagerflow.capture.tracing.callback import print as print
from eagerflow.capture.tracing.callback import py_function as py_function
from eagerflow.capture.tracing.colocation import colocate_with as colocate_with
from eagerflow.capture.tracing.place import name_scope as name_scope
from eagerflow.capture.tracing.signature import TensorSpec as TensorSpec
from eagerflow.checking import check_grads as check_grads
from eagerflow.core import GradientTape as GradientTape
from eagerflow.core import Tensor as Tensor
from eagerflow.core import Variable as Variable
from eagerflow.core import set_default_dtype as set_default_dtype
from eagerflow.custom import custom_gradient as custom_gradient
from eagerflow.devices import device as device
from eagerflow.gradients import grad as grad
from eagerflow.gradients import jvp as jvp
from eagerflow.gradients import linearize as linearize
from eagerflow.gradients import value_and_grad as value_and_grad
from eagerflow.gradients import vjp as vjp
from eagerflow.implicit import custom_fixed_point as custom_fixed_point
from eagerflow.implicit import custom_root as custom_root
from eagerflow.jacobians import hessian as hessian
from eagerflow.jacobians import hvp as hvp
from eagerflow.jacobians import jacobian as jacobian
from eagerflow.ops import fft as fft
from eagerflow.ops import linalg as linalg
from eagerflow.ops import special as special
from eagerflow.recomputing import checkpoint as checkpoint
from eagerflow.vectorize import vmap as vmap
from eagerflow.weights import load_weights as load_weights
from eagerflow.weights import save_weights as save_weights

# The array namespace, last: from here on abs, sum and their like are ours in this module.
# isort: split
from eagerflow.ops.arrays.conversion import *
from eagerflow.ops.arrays.creation import *
from eagerflow.ops.arrays.dtypes import *
from eagerflow.ops.arrays.editing import *
from eagerflow.ops.arrays.grids import *
from eagerflow.ops.arrays.inspection import *
from eagerflow.ops.arrays.joining import *
from eagerflow.ops.arrays.matrices import *
from eagerflow.ops.arrays.movement import *
from eagerflow.ops.arrays.padding import *
from eagerflow.ops.arrays.queries import *
from eagerflow.ops.arrays.ranges import *
from eagerflow.ops.arrays.repetition import *
from eagerflow.ops.arrays.shape import *
from eagerflow.ops.arrays.splitting import *
from eagerflow.ops.arrays.transposition import *
from eagerflow.ops.arrays.views import *
from eagerflow.ops.elementwise.arithmetic import *
from eagerflow.ops.elementwise.comparison import *
from eagerflow.ops.elementwise.complex import *
from eagerflow.ops.elementwise.digits import *
from eagerflow.ops.elementwise.exponential import *
from eagerflow.ops.elementwise.rounding import *
from eagerflow.ops.elementwise.selection import *
from eagerflow.ops.elementwise.trigonometric import *
from eagerflow.ops.indexing.along_axis import *
from eagerflow.ops.indexing.choosing import *
from eagerflow.ops.indexing.finding import *
from eagerflow.ops.indexing.indexing import *
from eagerflow.ops.indexing.positions import *
from eagerflow.ops.indexing.writing import *
from eagerflow.ops.linear_algebra.contraction import *
from eagerflow.ops.linear_algebra.einsum import einsum as einsum
from eagerflow.ops.linear_algebra.products import *
from eagerflow.ops.reductions.averages import *
from eagerflow.ops.reductions.cumulative import *
from eagerflow.ops.reductions.extremes import *
from eagerflow.ops.reductions.histograms import *
from eagerflow.ops.reductions.missing import *
from eagerflow.ops.reductions.moments import *
from eagerflow.ops.reductions.order import *
from eagerflow.ops.reductions.quantiles import *
from eagerflow.ops.reductions.reduction import *
from eagerflow.ops.signals.interpolation import *
from eagerflow.ops.signals.polynomials import *
from eagerflow.ops.signals.roots import *
from eagerflow.ops.signals.signals import *
from eagerflow.ops.signals.windows import *
from eagerflow.ops.sorting.partitioning import *
from eagerflow.ops.sorting.sets import *
from eagerflow.ops.sorting.sorting import *
from eagerflow.ops.sorting.unique import *
from eagerflow.ops.special_functions.bessel import *
from eagerflow.ops.special_functions.error_functions import *

__version__ = "0.1.0"
