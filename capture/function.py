"""Function: a Python function that is captured for new arguments, and runs as a graph for known ones."""

from __future__ import annotations

import functools
import inspect
import sys
import threading
import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import optree

from eagerflow.capture.concrete import ConcreteFunction
from eagerflow.capture.options import USUAL, Options
from eagerflow.capture.tracing.explanation import Explanation
from eagerflow.capture.tracing.signature import Call, TensorKey, TensorSpec, check_specs, fit, quick_key
from eagerflow.capture.tracing.table import Table, Trace
from eagerflow.capture.tracing.trace import NotCapturable
from eagerflow.capture.tracing.tracing import Tracing
from eagerflow.capture.tracing.walk import SIMPLE
from eagerflow.capture.tracing.watching import Outside
from eagerflow.core import Tensor
from eagerflow.core.explain import describe, user_line
from eagerflow.core.traced import capturing
from eagerflow.devices import DeviceName
from eagerflow.errors import ArgumentError, CaptureError
from eagerflow.late import loading

if TYPE_CHECKING:
    from concurrent.futures import Future

# The length that a function sees where its specs say that any will do.
_ANY = 8


class Function:
    """A Python function that is captured into graphs; see `function`.

    Attributes
    ----------
    python_function : callable
        The function itself.
    """

    def __init__(
        self,
        python_function: Callable[..., Any],
        input_signature: Any = None,
        reduce_retracing: bool = True,
        options: Options = USUAL,
        owner: Callable[[], Any] | None = None,
    ) -> None:
        functools.update_wrapper(self, python_function)
        self.python_function = python_function
        self._input_signature = None if input_signature is None else check_specs(input_signature)
        self._reduce_retracing = bool(reduce_retracing)
        self._options = options
        self._owner = owner
        self._name = getattr(python_function, "__name__", type(python_function).__name__)
        self._lock = threading.RLock()
        self._bound: dict[int, tuple[Any, Function]] = {}
        self._tables: dict[Any, Table] = {}  # by what the function reads outside
        self._now: tuple[Outside, Table] | None = None  # of the last call
        self._explanation = Explanation(self._name)
        self._signature = _signature(python_function)
        parameters = [] if self._signature is None else list(self._signature.parameters.values())[owner is not None :]
        self._names = [p.name for p in parameters]
        self._least = _least(parameters)

    def __get__(self, instance: Any, owner: type | None = None) -> Function:
        if instance is None:
            return self
        key = id(instance)
        known = self._bound.get(key)
        if known is not None and known[0]() is instance:
            return known[1]
        try:
            reference: Callable[[], Any] = weakref.ref(instance, lambda _: self._bound.pop(key, None))
        except TypeError:  # an object with slots: it stays as long as the function
            reference = functools.partial(_same, instance)
        bound = Function(self.python_function, self._input_signature, self._reduce_retracing, self._options, reference)
        self._bound[key] = (reference, bound)
        return bound

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """Run the graph for these arguments; capture it first where there is none."""
        if capturing.get() is not None:
            return self._inside(args, kwargs)
        now = self._now
        key = None
        if now is not None and len(args) >= self._least and now[0].holds():
            tensors: list[Any] = []
            key = quick_key(args, kwargs, tensors)
            concrete = now[1].quick.get(key)
            if concrete is not None and not (now[0].tensors and now[0].is_followed()):
                return concrete.run_quick(tensors)
        call = self._call(args, kwargs)
        if call.traced or self._look()[0].is_followed():
            return self._python(*args, **kwargs)  # whatever is around follows what the function does
        if self._input_signature is not None and not all(type(x) is Tensor for x in args):
            key = None  # others were converted
        concrete = self._find(call, key)
        if concrete is None:
            return self._python(*args, **kwargs)
        return concrete.run(call.tensors(), call.lent)

    def submit(self, /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Start a run for these arguments, and return at once; several runs can be in flight.

        Every device does its part of one run after the other, in the order in which they were submitted, while other
        devices are at earlier or later ones.

        Parameters
        ----------
        *args, **kwargs
            As in a call. NumPy arrays among them are copied.

        Returns
        -------
        concurrent.futures.Future
            Of what a call returns. Its ``cancel`` stops a run that has begun, too; errors are raised by ``result``.

        Raises
        ------
        CaptureError
            The function cannot be captured for these arguments, or is called while another one is captured.
        GradientError
            A tape follows an argument or a Variable.

        Examples
        --------
        >>> import eagerflow as ef
        >>> f = ef.function(lambda x: ef.sum(x * x))
        >>> futures = [f.submit(ef.ones(n)) for n in (2, 3)]
        >>> [future.result().item() for future in futures]
        [2.0, 3.0]
        """
        call = self._call(args, kwargs)
        concrete = None
        if capturing.get() is None and not call.traced and not self._look()[0].is_followed():
            concrete = self._find(call, None)
        if concrete is None:
            raise CaptureError(
                f"{self._name}.submit: whatever is around (a capture, vmap, forward mode) follows what the function "
                f"does, and cannot wait for a run that goes on by itself; call the function\n  at {user_line()}"
            )
        return concrete.start(call.tensors(), call.lent)

    def _inside(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run as a part of the graph around."""
        if self._input_signature is not None:
            args, kwargs = self._fitted(args, kwargs)
        return self._python(*args, **kwargs)

    def _python(self, *args: Any, **kwargs: Any) -> Any:
        if self._owner is not None:
            return self.python_function(self._owner(), *args, **kwargs)
        return self.python_function(*args, **kwargs)

    # --- arguments --------------------------------------------------------------------------------

    def _call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
        """Return the arguments, by position where they can be, with defaults."""
        args, kwargs = self._fitted(args, kwargs) if self._input_signature is not None else self._bind(args, kwargs)
        names = self._now[0].names if self._now is not None else self._look()[0].names
        return Call(args, kwargs, self._name, self._names, names)

    def _fitted(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        args, kwargs = self._bind(args, kwargs)
        if kwargs:
            raise ArgumentError(
                f"{self._name}: with input_signature all arguments are positional, got {sorted(kwargs)}"
                f"\n  at {user_line()}"
            )
        return fit(args, self._input_signature or (), self._name), kwargs

    def _bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        if self._signature is None:
            return args, kwargs
        given = args if self._owner is None else (self._owner(), *args)
        bound = self._signature.bind(*given, **kwargs)  # the error is Python's own
        bound.apply_defaults()
        found = bound.args if self._owner is None else bound.args[1:]
        return found, bound.kwargs

    # --- traces -----------------------------------------------------------------------------------

    def _outside(self) -> Outside:
        return Outside(self.python_function, None if self._owner is None else self._owner())

    def _look(self) -> tuple[Outside, Table]:
        """Return what the function reads outside now, and the traces made for it."""
        now = self._now
        if now is None or not now[0].holds():
            outside = self._outside()
            now = self._now = (outside, self._tables.setdefault(outside.key, Table()))
        return now

    def _find(self, call: Call, key: Any = None) -> ConcreteFunction | None:
        """Return the concrete function for a call, and capture it if there is none; None if that cannot be.

        It serves calls with this quick key from now on.
        """
        with self._lock:
            table = self._look()[1]
            found, refused = table.find(call)
            if found is not None:
                if key is not None:
                    table.quick[key] = found
                return found
            keys = call.keys
            if self._input_signature is not None:
                signature: Any = self._input_signature
                specs: list[Any] = optree.tree_leaves(signature, none_is_leaf=True)
                keys = tuple([key.within(spec.shape) for spec, key in zip(specs, keys, strict=True)])
            elif self._reduce_retracing:
                keys = table.widened(call) or keys
            try:
                return self._capture(call, keys, refused)
            except NotCapturable:
                return None

    def _capture(self, call: Call, keys: tuple[Any, ...], refused: str | None) -> ConcreteFunction:
        concrete = Tracing(self._name, self._python, self._outside, call, keys, self._options).capture()
        concrete.bind = self._call
        # What the function made while it was captured (a Variable, say) is there now.
        outside, table = self._look()
        table.add(Trace(call.form(), keys, concrete), call)
        self._explanation.add(call, keys, outside, refused)
        return concrete

    def get_concrete_function(self, *args: Any, **kwargs: Any) -> ConcreteFunction:
        """Return the captured function for these arguments.

        Parameters
        ----------
        *args, **kwargs
            As in a call; a `TensorSpec` can stand for a Tensor. None given: those of `input_signature`.

        Returns
        -------
        ConcreteFunction
            With the graph, plans and measurements of this trace.

        Raises
        ------
        CaptureError
            The function cannot be captured.

        Examples
        --------
        >>> import eagerflow as ef
        >>> f = ef.function(lambda x: x * 2)
        >>> f.get_concrete_function(ef.TensorSpec([None], "float64")).graph.outputs[0].spec
        float64[N]
        """
        if not args and not kwargs and self._input_signature is not None:
            args = self._input_signature
        tree: Any = (args, kwargs)
        leaves: list[Any] = optree.tree_leaves(tree, none_is_leaf=True)
        if any(isinstance(x, TensorSpec) for x in leaves):
            return self._of_specs(args, kwargs)
        concrete = self._find(self._call(args, kwargs))
        if concrete is None:
            raise CaptureError(
                f"{self._name}: a transformation around follows a value that the function uses, so it cannot be "
                f"captured by itself\n  at {user_line()}"
            )
        return concrete

    def _of_specs(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> ConcreteFunction:
        """Trace for specs; lengths that may be any are taken to be equal while nothing else is known."""
        with self._lock:
            outside, table = self._look()
            bound, keywords = self._bind(args, kwargs)
            call = Call(bound, keywords, self._name, self._names, outside.names)
            known = table.same(call)
            if known is not None:
                return known
            keys = call.keys
            hinted: list[Any] = []
            for key in keys:
                if type(key) is TensorKey:
                    sides = [_ANY if side is None else side for side in key.shape]
                    key = TensorKey(tuple(sides), key.dtype, key.device)
                hinted.append(key)
            call.keys = tuple(hinted)
            return self._capture(call, keys, None)

    def explain(self) -> str:
        """Tell each trace, what made it, and which argument differed how.

        Returns
        -------
        str
            Lines of text; print them.

        Examples
        --------
        >>> import eagerflow as ef
        >>> @ef.function
        ... def power(x, n):
        ...     return x ** n
        >>> power(ef.ones(3), 2), power(ef.ones(3), 3)
        (Tensor([1., 1., 1.]), Tensor([1., 1., 1.]))
        >>> print(power.explain())
        power: 2 traces
          1. first call: x: float64[3], n=2
          2. n is 3, was 2 (a Python value is part of the trace; pass a Tensor to share it)
        """
        return self._explanation.text()

    @property
    def concrete_functions(self) -> list[ConcreteFunction]:
        """What was captured so far, oldest first for the same values outside."""
        return [trace.concrete for table in self._tables.values() for trace in table.traces]

    def _is_named(self) -> bool:
        """Tell whether its name leads to it, as that of a decorated function does."""
        found: Any = sys.modules.get(self.__module__)
        for name in vars(self).get("__qualname__", "").split("."):
            found = getattr(found, name, None)
        return found is self

    def __repr__(self) -> str:
        count = len(self.concrete_functions)
        return f"<captured function {self._name!r}: {count} trace{'' if count == 1 else 's'}>"

    def __reduce__(self) -> Any:
        if self._is_named():
            return vars(self)["__qualname__"]  # pickle finds it by its name, as it finds functions
        return _restore, (self.python_function, self._input_signature, self._reduce_retracing, self._options)


def _restore(python_function: Callable[..., Any], *options: Any) -> Function:
    return Function(python_function, *options)


def _same(value: Any) -> Any:
    return value


def _signature(function: Callable[..., Any]) -> inspect.Signature | None:
    """Return the signature of a function; None where arguments are not to be bound to it: of what is built in."""
    if isinstance(function, np.ufunc) or inspect.isbuiltin(function):
        return None
    try:
        return inspect.signature(function)
    except (ValueError, TypeError):
        return None


def _least(parameters: list[inspect.Parameter]) -> int:
    """Return how many positional arguments say all there is to say: what is left out is a number or a text."""
    least = 0
    for position, parameter in enumerate(parameters):
        if parameter.default is not parameter.empty and not isinstance(parameter.default, SIMPLE):
            least = _NEVER if parameter.kind is parameter.KEYWORD_ONLY else max(least, position + 1)
    return least


_NEVER = 1 << 30
_SEVERAL_TIMES = (inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction)


@overload
def function(python_function: Callable[..., Any], /) -> Function: ...
@overload
def function(
    *,
    input_signature: Any = None,
    reduce_retracing: bool = True,
    passes: Any = None,
    devices: Any = None,
    compress: str | None = None,
    atomic: bool = False,
    timeout: float | None = None,
) -> Callable[[Callable[..., Any]], Function]: ...
@overload
def function(
    python_function: Callable[..., Any] | None,
    /,
    *,
    input_signature: Any = None,
    reduce_retracing: bool = True,
    passes: Any = None,
    devices: Any = None,
    compress: str | None = None,
    atomic: bool = False,
    timeout: float | None = None,
) -> Any: ...


def function(
    python_function: Callable[..., Any] | None = None,
    /,
    *,
    input_signature: Any = None,
    reduce_retracing: bool = True,
    passes: Iterable[str] | Mapping[str, bool] | None = None,
    devices: str | Iterable[str] | None = None,
    compress: str | None = None,
    atomic: bool = False,
    timeout: float | None = None,
) -> Any:
    """Capture a function into a static dataflow graph, which runs in its place.

    The first call with arguments of new shapes, dtypes or Python values runs the Python function once, on symbols,
    and keeps what it computed as a graph. Later calls run the graph, which is faster: operations are fused, memory
    is reused, and no Python of yours runs. Use it as a decorator, with or without options.

    Parameters
    ----------
    python_function : callable
        Takes and returns trees (lists, tuples, dicts, modules) of Tensors and Python values.
    input_signature : sequence of TensorSpec, optional
        What the arguments are: one trace for all calls, and errors for other arguments.
    reduce_retracing : bool
        Whether a length that changes becomes symbolic at the second new shape, so that later shapes need no trace.
    passes : sequence of str or mapping of str to bool, optional
        Which passes make the graph better: their names in order, or which of the usual ones are off
        (``{"fuse": False}``); `eagerflow.capture.PASSES` has them all.
    devices : str or sequence of str, optional
        Among which devices the placer chooses for operations that the program does not place itself: names, which
        may be partial (``"cuda"``). All devices of the kinds that arguments, Variables and `eagerflow.device` blocks
        of the function are on, if not given.
    compress : str, optional
        ``"bfloat16"``: send float32 and float64 values from device to device in half the bytes or less, and with
        fewer digits. At first they travel as they are.
    atomic : bool
        Whether a run that fails leaves Variables as they were before it. Such runs wait for each other, and write
        new values of Variables to new memory.
    timeout : float, optional
        Seconds after which a run is given up with a `eagerflow.errors.StepTimeoutError`.

    Returns
    -------
    Function
        Is called like `python_function`.

    Raises
    ------
    CaptureError
        At a call: the function does what no graph can do; the error names the line and the remedy.
    ArgumentError
        The input signature is none, or a pass is unknown; at a call: the arguments do not fit it.

    Notes
    -----
    Tensors and NumPy arrays are inputs of the graph; Python numbers, text and other objects are part of it, a new
    value makes a new trace. Variables are read and assigned when the graph runs. What else the function reads, from
    closures, globals and objects, is compared at every call; a change makes a new trace.

    Examples
    --------
    >>> import eagerflow as ef
    >>> import numpy as np
    >>> @ef.function
    ... def f(x):
    ...     return np.tanh(x) * 2
    >>> f(ef.asarray([0.0, 1.0]))
    Tensor([0.        , 1.52318831])
    """
    if python_function is None:
        given: Any = {"input_signature": input_signature, "reduce_retracing": reduce_retracing, "passes": passes,
                      "devices": devices, "compress": compress, "atomic": atomic, "timeout": timeout}  # fmt: skip
        return lambda python: function(python, **given)
    options = _options(passes, devices, compress, atomic, timeout)
    if isinstance(python_function, Function):
        return python_function
    if isinstance(python_function, staticmethod | classmethod):
        made = Function(python_function.__func__, input_signature, reduce_retracing, options)
        return type(python_function)(made)
    if any(test(python_function) for test in _SEVERAL_TIMES):
        raise ArgumentError(
            f"function: expected a function that returns once, got {describe(python_function)}, which is async or a "
            f"generator; return a list, or await outside\n  at {user_line()}"
        )
    if not callable(python_function):
        raise ArgumentError(f"function: expected a function, got {describe(python_function)}\n  at {user_line()}")
    return Function(python_function, input_signature, reduce_retracing, options)


def _options(passes: Any, devices: Any, compress: str | None, atomic: bool, timeout: float | None) -> Options:
    """Return the options of a function, checked."""
    if compress not in (None, "bfloat16"):
        raise ArgumentError(f"function: compress is None or 'bfloat16', got {compress!r}\n  at {user_line()}")
    number = isinstance(timeout, int | float) and not isinstance(timeout, bool)
    if timeout is not None and not (number and 0 < timeout <= threading.TIMEOUT_MAX):
        raise ArgumentError(
            f"function: timeout is a positive number of seconds, or None for as long as it takes; got {timeout!r}\n"
            f"  at {user_line()}"
        )
    names = None if devices is None else (devices,) if isinstance(devices, str) else tuple(devices)
    if names == ():
        raise ArgumentError(f"function: devices has to name one, got {devices!r}\n  at {user_line()}")
    for name in names or ():
        DeviceName.parse(name)
    if passes is not None:
        with loading:
            from eagerflow.capture.passes import chosen

        passes = chosen(passes)
    return Options(passes, names, compress, bool(atomic), timeout)
