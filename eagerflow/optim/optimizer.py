"""Optimizer: checks gradients, keeps its state in Variables, and updates in place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import optree

from eagerflow.core import ArrayMethods, Tensor, Variable, alias, convert, is_exclusive, is_inexact, wrap
from eagerflow.core.traced import capturing
from eagerflow.errors import ArgumentError, DeviceError, DTypeError, ShapeError
from eagerflow.nn.module import Module, walk
from eagerflow.ops.checked import flag, number
from eagerflow.ops.precision import is_low

# Elements that one round of an update works on: few enough that all its arrays stay in the cache.
_BLOCK = 1 << 15

Schedule = Callable[[int], float]


class Optimizer:
    """What all optimizers share.

    Parameters
    ----------
    variables : Module or pytree of Variable
        What to optimize; of a Module its trainable Variables.
    learning_rate : float or callable
        The step size, or a schedule: a function of the number of steps done (0, 1, …).
    master_weights : bool
        Whether to keep a float32 copy of each Variable of low precision (float16, bfloat16, float8). Steps
        change the copy, and the Variable is what it rounds to: so small steps add up.

    Raises
    ------
    DTypeError
        There is something else than trainable floating-point Variables among them, or nothing; a learning rate
        that is no number.
    ArgumentError
        A negative learning rate.

    Notes
    -----
    A subclass names its slots (state of the shape of each Variable) in `slots`, and defines `_update`.
    Of a Variable of low precision, `_update` gets the gradient, the weights and the slots in float32.
    The state has names, so that `eagerflow.save_weights` can write it beside the model's Variables.

    Examples
    --------
    >>> import eagerflow as ef
    >>> class SignDescent(ef.optim.Optimizer):
    ...     def _constants(self, step, rate):
    ...         return (rate,)
    ...     def _update(self, xp, constants, g, w):
    ...         w -= constants[0] * xp.sign(g)
    >>> v = ef.Variable([1.0, 2.0])
    >>> SignDescent([v], learning_rate=0.5).apply([ef.asarray([3.0, -4.0])])
    >>> v
    Variable([0.5, 2.5])
    """

    slots: tuple[str, ...] = ()

    def __init__(self, variables: Any, learning_rate: float | Schedule, master_weights: bool = False) -> None:
        self._leaves = 0
        if isinstance(variables, Module):
            # Gradients may come as a Module too, with something for Variables that are not trainable.
            every = list(variables.named_variables())
            self._leaves = len(every)
            self._positions = [position for position, (_, v) in enumerate(every) if v.trainable]
            named = [every[position] for position in self._positions]
        else:
            named = list(walk(variables))
        kind = type(self).__name__
        master_weights = flag(master_weights, kind, "master_weights")
        for name, v in named:
            if not isinstance(v, Variable) or not v.trainable:
                raise DTypeError(f"{kind}: expected trainable Variables, got {v!r:.60} at {name or 'the top'}")
            if v.dtype.kind in "biuc":
                raise DTypeError(f"{kind}: expected real floating-point Variables, {name} has dtype {v.dtype}")
        if not named:
            raise DTypeError(f"{kind}: there is no trainable Variable to optimize")
        if len({id(v) for _, v in named}) < len(named):
            raise DTypeError(f"{kind}: a Variable comes twice among {[name for name, _ in named]}")
        self._names = [name for name, _ in named]
        self._variables = [v for _, v in named]
        self._iterations = Variable(0, trainable=False, name="iterations")
        self._schedule = learning_rate if callable(learning_rate) else None
        initial = 0.0 if callable(learning_rate) else _number(kind, "learning_rate", learning_rate)
        self._learning_rate = Variable(initial, trainable=False, name="learning_rate", dtype=np.float64)
        self._masters = [
            Variable(v.value.astype(np.float32), trainable=False, name=f"master.{name}", device=v.device)
            if master_weights and is_low(v.dtype)
            else None
            for name, v in named
        ]
        self._slots = [
            tuple(
                Variable(np.zeros(v.shape, _wide(v.dtype)), trainable=False, name=f"{slot}.{name}", device=v.device)
                for slot in self.slots
            )
            for name, v in named
        ]

    @property
    def variables(self) -> list[Variable]:
        """The Variables that it optimizes, in the order in which `apply` takes gradients."""
        return list(self._variables)

    @property
    def iterations(self) -> int:
        """Number of steps done."""
        return int(self._iterations)

    @property
    def learning_rate(self) -> float:
        """The step size of the next step. Assign a number or a schedule to change it."""
        return float(self._schedule(self.iterations)) if self._schedule else float(self._learning_rate)

    @learning_rate.setter
    def learning_rate(self, value: float | Schedule) -> None:
        self._schedule = value if callable(value) else None
        if not callable(value):
            self._learning_rate.assign(_number(type(self).__name__, "learning_rate", value))

    def named_variables(self) -> Iterator[tuple[str, Variable]]:
        """Yield the Variables of its state with their names (not the Variables that it optimizes)."""
        yield "iterations", self._iterations
        yield "learning_rate", self._learning_rate
        for position, slot in enumerate(self.slots):
            for name, variables in zip(self._names, self._slots, strict=True):
                yield f"{slot}.{name}" if name else slot, variables[position]
        for name, master in zip(self._names, self._masters, strict=True):
            if master is not None:
                yield f"master.{name}" if name else "master", master

    def apply(self, gradients: Any) -> None:
        """Do one step.

        Parameters
        ----------
        gradients : pytree of array_like
            One for each of `variables`, in their order, or a Module of gradients of the Module that is
            optimized; None for one that stays as it is.

        Raises
        ------
        ShapeError, DTypeError, DeviceError
            The gradients do not fit; all Variables are as they were.
        """
        given = gradients if type(gradients) is list else optree.tree_leaves(gradients, none_is_leaf=True)
        if len(given) == self._leaves and isinstance(gradients, Module):
            given = [given[position] for position in self._positions]
        if len(given) != len(self._variables):
            raise ShapeError(
                f"{type(self).__name__}.apply: expected {len(self._variables)} gradients, got {len(given)}"
            )
        if capturing.get() is not None:
            self._apply_captured([None if g is None else self._checked(i, g) for i, g in enumerate(given)])
            return
        arrays = [self._check(position, g) for position, g in enumerate(given)]
        step = self.iterations + 1
        rate = self.learning_rate
        constants = self._constants(step, rate)
        for variable, master, slots, g in zip(self._variables, self._masters, self._slots, arrays, strict=True):
            if g is None:
                continue
            device = variable._value._device
            xp = device.kind.namespace
            low = is_low(variable.dtype)
            if master is None and low:
                weights = variable._value._held.astype(np.float32)
            else:
                weights = _writable(variable if master is None else master)
            written = [weights, *[_writable(state) for state in slots]]
            if xp is not np:
                with device.kind.activate(device.index):
                    self._update(xp, constants, g, *written)
            elif not g.ndim:
                self._update(xp, constants, g.reshape(1), *[array.reshape(1) for array in written])
            elif g.size <= _BLOCK:
                self._update(xp, constants, g, *written)
            else:
                _in_blocks(self._update, constants, g, *written)
            if low:
                _writable(variable)[...] = weights
        self._iterations.assign(step)

    def _apply_captured(self, gradients: list[Any]) -> None:
        """Do a step out of operations on Tensors, which a graph can hold; `_update` writes to handles of theirs."""
        done = self._iterations.value
        rate = self._schedule(done) if self._schedule else self._learning_rate.value  # type: ignore[arg-type]
        constants: Any = self._constants(done + 1, rate)  # type: ignore[arg-type]
        for variable, master, slots, g in zip(self._variables, self._masters, self._slots, gradients, strict=True):
            if g is None:
                continue
            wide = _wide(variable.dtype)
            weights = (variable if master is None else master).value
            weights = alias(weights if weights.dtype == wide else weights.astype(wide))
            states = [alias(state.value) for state in slots]
            # Python floats would be weak beside the weights; the numbers of a graph are made to fit.
            numbers: Any = tuple([c.astype(wide) if isinstance(c, Tensor) else c for c in constants])
            self._update(np, numbers, g if g.dtype == wide else g.astype(wide), weights, *states)
            for state, value in zip(slots, states, strict=True):
                state.assign(value)
            if master is not None:
                master.assign(weights)
            variable.assign(weights if weights.dtype == variable.dtype else weights.astype(variable.dtype))
        self._iterations.assign_add(1)

    def _constants(self, step: int, rate: float) -> tuple[float, ...]:
        """Return the numbers that step `step` (from 1) needs, computed once for all Variables.

        In a captured function both are Tensors.
        """
        raise NotImplementedError

    def _update(self, xp: Any, constants: tuple[float, ...], g: Any, w: Any, *slots: Any) -> None:
        """Write the new values into `w` and `slots`; `g` is read only."""
        raise NotImplementedError

    def _check(self, position: int, g: Any) -> Any:
        """Return the array of a gradient that fits its Variable."""
        if g is None:
            return None
        tensor = g._read() if isinstance(g, ArrayMethods) else convert(g)
        mine = self._variables[position]._value
        data = tensor._held
        wanted = _wide(mine._held.dtype)
        if data.shape == mine._held.shape and data.dtype == wanted and tensor._device is mine._device:
            return data
        return self._checked(position, tensor)._held.astype(wanted)

    def _checked(self, position: int, g: Any) -> Tensor:
        """Return a gradient as a Tensor that fits its Variable, in any floating-point dtype."""
        tensor = g._read() if isinstance(g, ArrayMethods) else convert(g)
        mine = self._variables[position]._value
        wanted = _wide(mine._held.dtype)
        what = f"{type(self).__name__}.apply: the gradient of {self._names[position] or 'the Variable'}"
        if tensor.shape != mine.shape:
            raise ShapeError(f"{what} has shape {tensor.shape}, expected {mine.shape}")
        if tensor.dtype.kind == "c" or not (is_inexact(tensor.dtype) or np.can_cast(tensor.dtype, wanted, "same_kind")):
            raise DTypeError(f"{what} has dtype {tensor.dtype}, expected {mine.dtype}")
        if tensor.device is not mine._device:
            raise DeviceError(f"{what} is on {tensor.device}, expected {mine._device}; use g.to(device)")
        return tensor

    def __repr__(self) -> str:
        rate = "schedule" if self._schedule else f"{self.learning_rate:g}"
        return f"{type(self).__name__}({len(self._variables)} variables, learning_rate={rate}, step {self.iterations})"


def _wide(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the dtype to compute steps in: float32 where the Variable's is of low precision."""
    return np.dtype(np.float32) if is_low(dtype) else dtype


def _writable(variable: Variable) -> Any:
    """Return the array of a Variable, to write to; a new one where something else sees the old one."""
    if not is_exclusive(variable._value):
        value = variable._value
        with value._device.kind.activate(value._device.index):
            variable._value = wrap(value._held.copy(), value._device)
    return variable._value._held


def _in_blocks(update: Any, constants: tuple[float, ...], *arrays: Any) -> None:
    if not all(array.flags.c_contiguous for array in arrays):
        update(np, constants, *arrays)
        return
    flat = [array.reshape(-1) for array in arrays]
    for start in range(0, flat[0].size, _BLOCK):
        update(np, constants, *[array[start : start + _BLOCK] for array in flat])


def _number(kind: str, name: str, value: Any) -> float:
    chosen = float(number(value, kind, name))
    if not chosen >= 0:
        raise ArgumentError(f"{kind}: expected {name} of 0 or more, got {value!r}")
    return chosen
