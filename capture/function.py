"""function: makes a captured function of a Python function, which traces it for new arguments and runs graphs for known ones."""

from __future__ import annotations

import functools
import inspect
import threading
import weakref
from collections.abc import Callable, Sequence
from typing import Any, overload

import numpy as np
import optree

from eagerflow.capture.concrete import ConcreteFunction, Result
from eagerflow.capture.explanation import Explanation
from eagerflow.capture.signature import Call, TensorKey, TensorSpec, VariableKey, check_specs, fit, specs_for
from eagerflow.capture.symbol import Symbol
from eagerflow.capture.trace import NotCapturable, Trace
from eagerflow.capture.watching import Watch, holds_symbol
from eagerflow.core import Tensor, convert, wrap
from eagerflow.core.explain import describe, user_line
from eagerflow.core.record import active, recorders
from eagerflow.core.traced import capturing
from eagerflow.devices import CPU0
from eagerflow.errors import ArgumentError, CaptureError


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
        owner: weakref.ref[Any] | None = None,
    ) -> None:
        functools.update_wrapper(self, python_function)
        self.python_function = python_function
        self._input_signature = None if input_signature is None else check_specs(input_signature)
        self._reduce_retracing = bool(reduce_retracing)
        self._owner = owner
        self._name = getattr(python_function, "__name__", type(python_function).__name__)
        self._lock = threading.RLock()
        self._bound: dict[int, tuple[weakref.ref[Any], Function]] = {}
        self._forget()
        parameters = _parameters(python_function)
        self._names = [p.name for p in parameters]
        positional = all(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters)
        # Calls with as many positional arguments as there are parameters need no binding.
        self._count = len(parameters) - (owner is not None) if positional else -1
        if owner is not None:
            self._names = self._names[1:]

    def _forget(self) -> None:
        self._served: dict[Any, ConcreteFunction] = {}
        self._traces: list[tuple[tuple[Any, ...], ConcreteFunction]] = []
        self._watch: Watch | None = None
        self._explanation = Explanation(self._name)

    def __get__(self, instance: Any, owner: type | None = None) -> Function:
        if instance is None:
            return self
        known = self._bound.get(id(instance))
        if known is not None and known[0]() is instance:
            return known[1]
        key = id(instance)
        reference = weakref.ref(instance, lambda _: self._bound.pop(key, None))
        bound = Function(self.python_function, self._input_signature, self._reduce_retracing, reference)
        self._bound[key] = (reference, bound)
        return bound

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the graph for these arguments; capture it first where there is none."""
        if capturing.get() is not None:
            return self._python(*args, **kwargs)  # part of the graph around
        call = self._call(args, kwargs)
        if call.traced:
            return self._python(*args, **kwargs)  # vmap and forward mode follow what the function does
        watch = self._watch
        key = call.key() if watch is None else (watch.fingerprint(), call.key())
        concrete = self._served.get(key) if watch is not None else None
        if concrete is None:
            concrete = self._find(call)
            if concrete is None:
                return self._python(*args, **kwargs)
        return concrete.run(call)

    def _call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
        """Return the arguments with names and defaults where the function has them."""
        if kwargs or len(args) != self._count:
            args, kwargs = self._bind(args, kwargs)
        if self._input_signature is not None:
            if kwargs:
                raise ArgumentError(
                    f"{self._name}: with input_signature all arguments are positional, got {sorted(kwargs)}\n  at {user_line()}"
                )
            args = fit(args, self._input_signature, self._name)
        return Call(args, kwargs, self._name)

    def _bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        try:
            signature = inspect.signature(self.python_function)
        except ValueError:  # built in
            return args, kwargs
        given = args if self._owner is None else (self._owner(), *args)
        bound = signature.bind(*given, **kwargs)  # the error is Python's own
        bound.apply_defaults()
        found = bound.args if self._owner is None else bound.args[1:]
        return found, bound.kwargs

    def _python(self, *args: Any, **kwargs: Any) -> Any:
        if self._owner is not None:
            return self.python_function(self._owner(), *args, **kwargs)
        return self.python_function(*args, **kwargs)

    # --- traces -----------------------------------------------------------------------------------

    def _find(self, call: Call) -> ConcreteFunction | None:
        """Return the concrete function for a call, and capture it if there is none; None if that cannot be."""
        with self._lock:
            watch = Watch(self.python_function, self._owner)
            if self._watch is None or self._watch.names != watch.names:
                self._served.clear()
            self._watch = watch
            outside = watch.fingerprint()
            key = (outside, call.key())
            found = self._served.get(key)
            if found is not None:
                return found
            refused = None
            for known, concrete in reversed(self._traces):
                if known[0] == outside and known[1] == call.structure and _serves(known[2], call.keys):
                    refused = concrete.refuses(call)
                    if refused is None:
                        self._served[key] = concrete
                        return concrete
            widened = self._widened(outside, call) if self._reduce_retracing and refused is None else None
            keys = call.keys if self._input_signature is None else self._declared(call)
            try:
                concrete = self._capture(call, widened or keys)
            except NotCapturable:
                return None
            # What the function made while it was captured (a Variable, say) is there now.
            self._watch = Watch(self.python_function, self._owner)
            outside = self._watch.fingerprint()
            self._explanation.add(self._paths(call), call, widened or keys, self._watch, concrete, refused)
            self._traces.append(((outside, call.structure, widened or keys), concrete))
            self._served[(outside, call.key())] = concrete
            return concrete

    def _declared(self, call: Call) -> tuple[Any, ...]:
        specs = optree.tree_leaves(self._input_signature, none_is_leaf=True)
        return tuple([TensorKey(spec.shape, spec.dtype, key.device) for spec, key in zip(specs, call.keys, strict=True)])

    def _widened(self, outside: Any, call: Call) -> tuple[Any, ...] | None:
        """Return keys with None for lengths that differ from those of an earlier trace, if nothing else does."""
        for known, _ in reversed(self._traces):
            if known[0] != outside or known[1] != call.structure:
                continue
            keys: list[Any] = []
            for mine, theirs in zip(known[2], call.keys, strict=True):
                if type(mine) is TensorKey and type(theirs) is TensorKey:
                    keys.append(mine.widened(theirs))
                else:
                    keys.append(mine if mine == theirs else None)
            if None not in keys:
                return tuple(keys)
        return None

    def _paths(self, call: Call) -> list[str]:
        return call.paths(self._names)

    def _capture(self, call: Call, keys: Sequence[Any]) -> ConcreteFunction:
        """Trace the function; twice where it makes Variables, to see that it makes them once."""
        concrete, made = self._trace(call, keys)
        if made:
            concrete, again = self._trace(call, keys)
            if again:
                raise CaptureError(
                    f"{self._name}: the function makes a Variable in every call ({describe(again[0])}); a captured function "
                    f"makes one in the first call only: keep it, for example with `if self.v is None: self.v = ef.Variable(…)`"
                    f"\n  at {user_line()}"
                )
        return concrete

    def _trace(self, call: Call, keys: Sequence[Any]) -> tuple[ConcreteFunction, list[Any]]:
        trace = Trace(self._name)
        hints = [key.shape if type(key) is TensorKey else None for key in call.keys]
        specs = specs_for(keys, trace.guards, hints)
        watch = Watch(self.python_function, self._owner)
        before = watch.fingerprint()
        with trace.tracing():
            leaves = list(call.leaves)
            for position, (path, spec) in enumerate(zip(self._paths(call), specs, strict=True)):
                if spec is not None:
                    leaves[position] = trace.parameter(path, spec, keys[position].device)
            args, kwargs = call.structure.unflatten(leaves)
            result = self._python(*args, **kwargs)
            self._check_arguments(call, args, kwargs)
            found, structure = optree.tree_flatten(result, none_is_leaf=True)
            tensors = [x for x in found if isinstance(x, Tensor)]
            graph = trace.graph(tensors)
        self._check_outside(watch, before, trace)
        indices = iter(range(len(tensors)))
        results = [Result(next(indices), None) if isinstance(x, Tensor) else Result(None, x) for x in found]
        concrete = ConcreteFunction(self._name, graph, keys, call.structure, structure, results)
        concrete.bind = self._call
        return concrete, trace.variables

    def _check_arguments(self, call: Call, args: Any, kwargs: Any) -> None:
        tree: Any = (args, kwargs)
        leaves, structure = optree.tree_flatten(tree, none_is_leaf=True)
        if structure != call.structure or any(
            isinstance(now, Tensor) != isinstance(then, Tensor) for now, then in zip(leaves, call.leaves, strict=True)
        ):
            raise CaptureError(
                f"{self._name}: the function changes a list or a dict among its arguments, which happens once, while it is "
                f"captured, and not in every run; return what it makes\n  at {user_line()}"
            )

    def _check_outside(self, watch: Watch, before: tuple[Any, ...], trace: Trace) -> None:
        """Raise if the function changed something outside that no graph can change."""
        for name, then, now, value in zip(watch.names, before, watch.fingerprint(), watch.values(), strict=True):
            if holds_symbol(value):
                raise CaptureError(
                    f"{self._name}: a Tensor of the captured function was put into {name}, where it stands for nothing when "
                    f"the capture is over; return it, or keep it in a Variable\n  at {user_line()}"
                )
            if then != now and not trace.variables:
                what = "takes items from" if then and then[0] == "generator" else "changes"
                raise CaptureError(
                    f"{self._name}: the function {what} {name}, which happens once, while it is captured, and not in every "
                    f"run; return the new value, keep it in a Variable, or do it in ef.py_function\n  at {user_line()}"
                )

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
            call = Call(args, kwargs, self._name)
        elif self._input_signature is not None:
            call = self._call(args, kwargs)
        else:
            bound, keywords = self._bind(args, kwargs)
            call = Call(bound, keywords, self._name)
        specs = [isinstance(x, TensorSpec) for x in call.leaves]
        if any(specs):
            concrete = self._of_specs(call)
        else:
            found = self._find(call)
            if found is None:
                raise CaptureError(f"{self._name}: cannot be captured here\n  at {user_line()}")
            concrete = found
        return concrete

    def _of_specs(self, call: Call) -> ConcreteFunction:
        """Trace for specs; lengths that may be any are taken to be 2, 3, … while nothing else is known."""
        with self._lock:
            self._watch = Watch(self.python_function, self._owner)
            outside = self._watch.fingerprint()
            for known, concrete in self._traces:
                if known == (outside, call.structure, call.keys):
                    return concrete
            keys = call.keys
            hinted = []
            count = 7
            for x, key in zip(call.leaves, keys, strict=True):
                if type(key) is TensorKey and None in key.shape:
                    sides = []
                    for side in key.shape:
                        count += side is None
                        sides.append(count if side is None else side)
                    hinted.append(TensorKey(tuple(sides), key.dtype, key.device))
                else:
                    hinted.append(key)
                del x
            call.keys = tuple(hinted)
            concrete = self._capture(call, keys)
            call.keys = keys
            self._watch = Watch(self.python_function, self._owner)
            self._explanation.add(self._paths(call), call, keys, self._watch, concrete, None)
            self._traces.append(((self._watch.fingerprint(), call.structure, keys), concrete))
            return concrete

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
        """What was captured so far, oldest first."""
        return [concrete for _, concrete in self._traces]

    def __repr__(self) -> str:
        return f"<captured function {self._name!r}, {len(self._traces)} traces>"

    def __reduce__(self) -> Any:
        return function, (self.python_function,)


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    try:
        return list(inspect.signature(function).parameters.values())
    except (ValueError, TypeError):
        return []


def _serves(known: Sequence[Any], keys: Sequence[Any]) -> bool:
    return len(known) == len(keys) and all(
        mine.serves(theirs) if type(mine) is TensorKey else mine == theirs
        for mine, theirs in zip(known, keys, strict=True)
    )


@overload
def function(python_function: Callable[..., Any], /) -> Function: ...
@overload
def function(*, input_signature: Any = None, reduce_retracing: bool = True) -> Callable[[Callable[..., Any]], Function]: ...
@overload
def function(
    python_function: Callable[..., Any] | None, /, *, input_signature: Any = None, reduce_retracing: bool = True
) -> Any: ...


def function(
    python_function: Callable[..., Any] | None = None,
    /,
    *,
    input_signature: Any = None,
    reduce_retracing: bool = True,
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

    Returns
    -------
    Function
        Is called like `python_function`.

    Raises
    ------
    CaptureError
        At a call: the function does what no graph can do; the error names the line and the remedy.
    ArgumentError
        The input signature is none; at a call: the arguments do not fit it.

    Notes
    -----
    Tensors and NumPy arrays are inputs of the graph; Python numbers, text and other objects are part of it, a new
    value makes a new trace. Variables are read and assigned when the graph runs. Numbers, flags and small arrays
    that the function reads from closures and globals are checked at every call.

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
        return lambda python: function(python, input_signature=input_signature, reduce_retracing=reduce_retracing)
    if isinstance(python_function, Function):
        return python_function
    if not callable(python_function):
        raise ArgumentError(f"function: expected a function, got {describe(python_function)}\n  at {user_line()}")
    return Function(python_function, input_signature, reduce_retracing)


_ = (CPU0, Symbol, VariableKey, active, recorders, convert, wrap, np)
