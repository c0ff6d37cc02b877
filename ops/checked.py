"""Checks of plain arguments (options, numbers, positions, sections), with our errors."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

import numpy as np

from eagerflow.core import ArrayMethods, Tensor, convert
from eagerflow.core.dims import Symbolic, has_dims, index
from eagerflow.core.explain import describe, user_line
from eagerflow.core.traced import capturing
from eagerflow.errors import ArgumentError, CaptureError, DTypeError, EagerflowError, IndexOutOfBoundsError, ShapeError


def translated(name: str, error: BaseException) -> EagerflowError | None:
    """Return the error of ours for what NumPy or Python found wrong with an argument of the function `name`."""
    kind: type[EagerflowError]
    if isinstance(error, EagerflowError | np.linalg.LinAlgError):
        return None
    if isinstance(error, np.exceptions.AxisError | ValueError | ZeroDivisionError):
        kind = ShapeError
    elif isinstance(error, IndexError):
        kind = IndexOutOfBoundsError
    elif isinstance(error, TypeError | OverflowError | AttributeError | KeyError):
        kind = DTypeError
    else:
        return None
    return kind(f"{name}: the arguments do not fit: {error}\n  at {user_line()}")


class numpy_checks:
    """Raise what NumPy finds wrong in this block as an error of ours, said by the function `name`."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __enter__(self) -> None:
        """Begin the block."""

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        """Translate the error that ended the block."""
        made = None if error is None else translated(self.name, error)
        if made is not None:
            raise made from error


F = TypeVar("F", bound=Callable[..., Any])


def guarded(function: F) -> F:
    """Let a function made of others raise our errors for arguments that none of them can use.

    It is for functions that read their arguments in Python, and not for those that call what users wrote.
    """
    name = function.__name__

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except Exception as error:
            # Without a frame further in, the call itself did not fit the signature.
            inside = error.__traceback__ is not None and error.__traceback__.tb_next is not None
            made = translated(name, error) if inside else None
            if made is None:
                raise
            raise made from error

    return cast(F, call)


def array(x: Any, name: str) -> Tensor:
    """Return an argument as a Tensor.

    Raises
    ------
    DTypeError
        It is None, which stands for nothing here.
    """
    if x is None:
        raise DTypeError(f"{name}: expected an array, got None\n  at {user_line()}")
    return convert(x)


def plain(x: Any) -> np.ndarray:
    """Return the values of an argument that decides about shapes, such as positions or a mask."""
    array: np.ndarray = convert(x).numpy()
    return array


def captured(x: Any, sizes: Any) -> Any:
    """Return a plain Tensor that meets symbolic lengths as a value of the trace they are of; all else as it is.

    Otherwise the operation would run now, for the lengths seen while tracing.
    """
    capture = capturing.get()
    return x if capture is None or type(x) is not Tensor or not has_dims(sizes) else capture.lift(x)


def known(x: Tensor) -> np.ndarray | None:
    """Return the values of a Tensor, or None where it stands for many: inside `vmap`."""
    try:
        array: np.ndarray = x.numpy()
    except CaptureError:
        return None
    return array


def real_vector(x: Any, name: str, what: str) -> Tensor:
    """Return `x` as a Tensor with one axis and no complex numbers.

    Raises
    ------
    ShapeError, DTypeError
        It has other axes; it is complex.
    """
    made = convert(x)
    if made.ndim != 1:
        raise ShapeError(f"{name}: {what} is a vector, got shape {made.shape}\n  at {user_line()}")
    return real(made, name, what)


def real(x: Any, name: str, what: str) -> Tensor:
    """Return `x` as a Tensor of real numbers.

    Raises
    ------
    DTypeError
        It is complex.
    """
    made = convert(x)
    if made.dtype.kind == "c":
        raise DTypeError(
            f"{name}: {what} has an order, which complex numbers lack, got {made.dtype}\n  at {user_line()}"
        )
    return made


def option(value: Any, allowed: tuple[str, ...], name: str, what: str) -> None:
    """Check a choice among words.

    Raises
    ------
    ArgumentError
        It is none of them.
    """
    if not isinstance(value, str) or value not in allowed:
        listed = ", ".join(map(repr, allowed))
        raise ArgumentError(f"{name}: {what} is one of {listed}, got {describe(value)}\n  at {user_line()}")


def flag(value: Any, name: str, what: str) -> bool:
    """Return an argument that says yes or no.

    Raises
    ------
    DTypeError
        It is no single number.
    """
    if value is True or value is False:
        return value
    if value is None or isinstance(value, int | float | np.bool_ | np.number | np.ndarray | ArrayMethods):
        try:
            return bool(value)
        except EagerflowError:
            raise
        except (TypeError, ValueError):
            pass
    raise DTypeError(f"{name}: {what} is True or False, got {describe(value)}\n  at {user_line()}")


def integer(value: Any, name: str, what: str) -> int:
    """Return an argument that is an integer, of a size that arrays can have.

    Raises
    ------
    DTypeError, ShapeError
        It is no integer; it is too large.
    """
    try:
        number = index(value)
    except EagerflowError:
        raise
    except TypeError:
        raise DTypeError(f"{name}: {what} is an integer, got {describe(value)}\n  at {user_line()}") from None
    if type(number) is int and not -sys.maxsize <= number <= sys.maxsize:
        raise ShapeError(f"{name}: {what} is too large: {number}\n  at {user_line()}")
    return number


def number(value: Any, name: str, what: str) -> Any:
    """Return an argument that is a real number, Python numbers as they are.

    Raises
    ------
    DTypeError
        It is no real number.
    """
    if type(value) is float or type(value) is int or type(value) is bool or isinstance(value, Symbolic):
        return value
    if not isinstance(value, str | bytes | bytearray):
        try:
            if np.ndim(value) == 0:
                return float(value)
        except EagerflowError:
            raise
        except (TypeError, ValueError, OverflowError):
            pass
    raise DTypeError(f"{name}: {what} is a real number, got {describe(value)}\n  at {user_line()}")


def sequence(value: Any, name: str, what: str) -> list[Any]:
    """Return the items of a list, a tuple, an array or another iterable with an order.

    Raises
    ------
    DTypeError
        It has no items, or they have no order.
    """
    if isinstance(value, list | tuple):
        return list(value)
    if not isinstance(value, str | bytes | bytearray | dict | set | frozenset):
        try:
            return list(value)
        except EagerflowError:
            raise
        except TypeError:
            pass
    raise DTypeError(f"{name}: {what} is a sequence, got {describe(value)}\n  at {user_line()}")


def a_function(value: Any, name: str, what: str) -> None:
    """Check that an argument can be called.

    Raises
    ------
    DTypeError
        It cannot.
    """
    if not callable(value):
        raise DTypeError(f"{name}: {what} is a function, got {describe(value)}\n  at {user_line()}")


def no_out(out: Any, name: str) -> None:
    """Check that no memory to write to is given by position.

    Raises
    ------
    DTypeError
        It is.
    """
    if out is not None:
        raise DTypeError(f"{name}: Tensors are values, there is nothing to write to with out=\n  at {user_line()}")
