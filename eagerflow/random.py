"""Random numbers: functions that draw from one Generator, which `seed` starts anew.

Each draw is numbered, and its values depend on the seed and its number only.

Examples
--------
>>> import eagerflow as ef
>>> ef.random.seed(0)
>>> x = ef.random.normal(size=3)
>>> ef.random.seed(0)
>>> bool(ef.all(x == ef.random.normal(size=3)))
True
"""

from __future__ import annotations

from eagerflow.ops.random import Generator

__all__ = [
    "Generator",
    "bernoulli",
    "categorical",
    "default_generator",
    "dropout_mask",
    "exponential",
    "integers",
    "normal",
    "permutation",
    "seed",
    "uniform",
]

default_generator = Generator()
seed = default_generator.seed
uniform = default_generator.uniform
normal = default_generator.normal
exponential = default_generator.exponential
bernoulli = default_generator.bernoulli
categorical = default_generator.categorical
integers = default_generator.integers
permutation = default_generator.permutation
dropout_mask = default_generator.dropout_mask
