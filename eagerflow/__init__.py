"""Write NumPy. Get gradients, graphs, GPUs and clusters.

Operations run at once on NumPy or CuPy arrays while a gradient tape records them.

Examples
--------
>>> import eagerflow as ef
>>> ef.grad(lambda x: ef.sum(ef.sin(x) * x))(ef.asarray([0.0, 1.0]))
Tensor([0.        , 1.38177329])
"""

from eagerflow import config as config
from eagerflow import devices as devices
from eagerflow import einops_backend as _einops_backend  # noqa: F401 - it waits for einops
from eagerflow import errors as errors
from eagerflow import nn as nn
from eagerflow import ops as ops
from eagerflow import optim as optim
from eagerflow import random as random
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
from eagerflow.ops.along_axis import *
from eagerflow.ops.arithmetic import *
from eagerflow.ops.averages import *
from eagerflow.ops.bessel import *
from eagerflow.ops.choosing import *
from eagerflow.ops.comparison import *
from eagerflow.ops.complex import *
from eagerflow.ops.contraction import *
from eagerflow.ops.conversion import *
from eagerflow.ops.creation import *
from eagerflow.ops.cumulative import *
from eagerflow.ops.digits import *
from eagerflow.ops.dtypes import *
from eagerflow.ops.editing import *
from eagerflow.ops.einsum import einsum as einsum
from eagerflow.ops.error_functions import *
from eagerflow.ops.exponential import *
from eagerflow.ops.extremes import *
from eagerflow.ops.finding import *
from eagerflow.ops.grids import *
from eagerflow.ops.histograms import *
from eagerflow.ops.indexing import *
from eagerflow.ops.inspection import *
from eagerflow.ops.interpolation import *
from eagerflow.ops.joining import *
from eagerflow.ops.matrices import *
from eagerflow.ops.missing import *
from eagerflow.ops.moments import *
from eagerflow.ops.movement import *
from eagerflow.ops.order import *
from eagerflow.ops.padding import *
from eagerflow.ops.partitioning import *
from eagerflow.ops.polynomials import *
from eagerflow.ops.positions import *
from eagerflow.ops.products import *
from eagerflow.ops.quantiles import *
from eagerflow.ops.queries import *
from eagerflow.ops.ranges import *
from eagerflow.ops.reduction import *
from eagerflow.ops.repetition import *
from eagerflow.ops.roots import *
from eagerflow.ops.rounding import *
from eagerflow.ops.selection import *
from eagerflow.ops.sets import *
from eagerflow.ops.shape import *
from eagerflow.ops.signals import *
from eagerflow.ops.sorting import *
from eagerflow.ops.splitting import *
from eagerflow.ops.transposition import *
from eagerflow.ops.trigonometric import *
from eagerflow.ops.views import *
from eagerflow.ops.windows import *
from eagerflow.ops.writing import *

__version__ = "0.1.0"
