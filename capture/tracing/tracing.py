"""Tracing: runs a function on symbols once, and sees to it that nothing happened that no graph can repeat."""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import optree

from eagerflow.capture.concrete import ConcreteFunction, Result
from eagerflow.capture.graph import PARAMETER
from eagerflow.capture.options import USUAL, Options
from eagerflow.capture.tracing.code import line_of, shown, users_line, warn
from eagerflow.capture.tracing.signature import Call, TensorKey, ValueKey, specs_for
from eagerflow.capture.tracing.symbol import Symbol
from eagerflow.capture.tracing.trace import Trace
from eagerflow.capture.tracing.watching import Outside
from eagerflow.core import ArrayMethods, Tensor, Variable
from eagerflow.core.explain import describe
from eagerflow.core.record import active
from eagerflow.errors import CaptureError


class Tracing:
    """How a function is captured for one call.

    Parameters
    ----------
    name : str
        Name of the function.
    function : callable
        What is called with the arguments.
    outside : callable
        Returns what the function reads outside.
    call : Call
        The arguments.
    keys : sequence
        What to take for granted of each: see `Call.keys`. Lengths may be None.
    options : Options
        How the graph is made ready, and how it runs.
    """

    def __init__(
        self,
        name: str,
        function: Callable[..., Any],
        outside: Callable[[], Outside],
        call: Call,
        keys: Sequence[Any],
        options: Options = USUAL,
    ) -> None:
        self.name = name
        self.options = options
        self.function = function
        self.outside = outside
        self.call = call
        self.keys = tuple(keys)
        self._made_at = ""

    def capture(self) -> ConcreteFunction:
        """Return the captured function.

        Where it makes a Variable or changes something outside it runs once more: what it does in the first call only
        (a Variable, what is remembered for later) is done then, and what it does in every call is an error.
        """
        concrete, made, changed = self._once()
        if not made and not changed:
            return concrete
        concrete, made, changed = self._once()
        if made:
            raise self._error(
                f"the function makes a Variable in every call ({describe(made[0])}); a captured function makes one in "
                f"the first call only: keep it, for example with `if self.v is None: self.v = ef.Variable(...)`",
                self._made_at,
            )
        if changed:
            remedy = "return the new value, keep it in a Variable, or do it in ef.py_function"
            raise self._once_only(f"changes {changed[0]}", remedy, self.outside(), changed[0])
        return concrete

    def _once(self) -> tuple[ConcreteFunction, list[Variable], list[str]]:
        """Capture it; return the Variables that it made, and the names of what it changed outside."""
        call, keys = self.call, self.keys
        before = self.outside()
        self._check_before(before)
        streams = _host_streams()
        open_tapes = active.get()
        trace = Trace(self.name, before.large)
        hints = [key.shape if type(key) is TensorKey else None for key in call.keys]
        specs = specs_for(keys, trace.guards, hints)
        try:
            with trace.tracing():
                leaves = list(call.leaves)
                for position, (path, spec) in enumerate(zip(call.paths, specs, strict=True)):
                    if spec is not None:
                        leaves[position] = trace.parameter(path, spec, keys[position].device)
                args, kwargs = call.structure.unflatten(leaves)
                result = self.function(*args, **kwargs)
                self._check_arguments(before, args, kwargs)
                found, structure = optree.tree_flatten(result, none_is_leaf=True)
                self._check_results(found, before)
                tensors = [x for x in found if isinstance(x, Tensor)]
                graph = trace.graph(tensors)
            if open_tapes and any(recorder not in active.get() for recorder in open_tapes):
                raise self._error("the function closes a tape that was opened outside; close it there")
        finally:
            now = active.get()
            if now is not open_tapes:
                active.set(tuple([tape for tape in open_tapes if tape in now]))  # without what stayed open inside
        changed = self._check_after(before, streams)
        self._made_at = trace.made_at
        indices = iter(range(len(tensors)))
        results = [Result(next(indices), None) if isinstance(x, Tensor) else Result(None, x) for x in found]
        concrete = ConcreteFunction(
            self.name, graph, keys, call.structure, structure, results, trace.hidden, self.options
        )
        if trace.own_gradients:
            concrete.python = self._python()
        return concrete, trace.variables, changed

    def _python(self) -> Callable[[Sequence[Tensor]], Any]:
        """Return what runs the function itself on other Tensors."""
        function, structure = self.function, self.call.structure
        leaves = [None if type(key) is TensorKey else x for key, x in zip(self.keys, self.call.leaves, strict=True)]
        positions = [i for i, key in enumerate(self.keys) if type(key) is TensorKey]

        def run(tensors: Sequence[Tensor]) -> Any:
            given = list(leaves)
            for position, tensor in zip(positions, tensors, strict=True):
                given[position] = tensor
            tree: Any = structure.unflatten(given)
            return function(*tree[0], **tree[1])

        return run

    # --- what no graph can repeat -----------------------------------------------------------------

    def _error(self, text: str, line: str = "") -> CaptureError:
        return CaptureError(f"{self.name}: {text}\n  at {line or users_line()}")

    def _once_only(self, what: str, remedy: str, before: Outside, path: str) -> CaptureError:
        return self._error(
            f"the function {what}, which happens once, while it is captured, and not in every run; {remedy}",
            line_of(before.codes, path),
        )

    def _check_before(self, before: Outside) -> None:
        if before.blind:
            path = before.blind[0]
            raise self._once_only(f"takes from the iterator {path}", "make a list of it", before, path)
        if before.impure:
            path = before.impure[0]
            warn(
                f"{self.name}: {path} is called once, while the function is captured, and not in every run; pass its "
                f"result as an argument, or call it in ef.py_function\n  at {line_of(before.codes, path)}"
            )

    def _check_arguments(self, before: Outside, args: Any, kwargs: Any) -> None:
        """Raise if the function changed an argument in place, other than a Tensor, whose handle is its own."""
        call = self.call
        now = Call(args, kwargs, self.name, call.parameters, before.names)
        if now.structure == call.structure and now.orders == call.orders:
            pairs = zip(call.paths, call.keys, now.leaves, now.keys, strict=True)
            changed = [path for path, key, x, later in pairs if not _is_as_before(key, x, later)]
            if not changed:
                self._warn_of_assignments(before, now.leaves)
                return
            path = changed[0]
        else:
            path = _first_difference(call, now)
        raise self._once_only(f"changes {path or 'an argument'} in place", "return what it makes", before, path)

    def _warn_of_assignments(self, before: Outside, leaves: Sequence[Any]) -> None:
        """Warn if the function assigns to a Tensor among its arguments, which eager code would do to the caller's."""
        for path, x in zip(self.call.paths, leaves, strict=True):
            if isinstance(x, Symbol) and (x._held.node.op is not PARAMETER or x._held.node.attrs["name"] != path):
                warn(
                    f"{self.name}: the function assigns to its argument {path} in place; a captured function leaves "
                    f"the caller's as it is. Write x = x + 1 in place of x += 1, x = ef.copy(x) before x[i] = v, and "
                    f"return what the caller needs\n  at {line_of(before.codes, path) or users_line()}"
                )

    def _check_results(self, found: list[Any], before: Outside) -> None:
        """Raise if it returns what no graph can make anew."""
        for x in found:
            if isinstance(x, Iterator) and not isinstance(x, io.IOBase):
                code = getattr(x, "gi_code", None)
                raise self._error(
                    f"the function returns a {type(x).__name__}, which gives its items once; return a list or a tuple",
                    shown(code.co_filename, code.co_firstlineno) if code is not None else "",
                )
            if not isinstance(x, ArrayMethods) and ValueKey(x, "result", before.names).symbols:
                raise self._error(
                    f"the function returns a Tensor within a {type(x).__name__}, which is made once; return lists, "
                    f"tuples, dicts or dataclasses that optree knows"
                )

    def _check_after(self, before: Outside, streams: list[Any]) -> list[str]:
        """Return the names of what the function changed outside; raise if no graph can do it, not even once."""
        after = self.outside()
        leaked = [path for path in after.symbols if path not in before.symbols]
        if leaked:
            path = leaked[0]
            raise self._error(
                f"a Tensor of the captured function was put into {path}, where it stands for nothing when the capture "
                f"is over; return it, or keep it in a Variable",
                line_of(before.codes, path),
            )
        used_up = before.used_up()
        if used_up:
            path = used_up[0]
            remedy = "pass what it needs as an argument, make a list of it, or draw from ef.random"
            raise self._once_only(f"takes from {path}", remedy, before, path)
        if _host_streams() != streams:
            paths = ("random", "np.random", "numpy.random")
            raise self._once_only(
                "draws random numbers of Python or NumPy",
                "draw from ef.random, or pass the numbers as arguments",
                before,
                next((path for path in paths if line_of(before.codes, path)), "random"),
            )
        return before.differences(after)


def _is_as_before(key: Any, x: Any, later: Any) -> bool:
    """Tell whether a leaf of the arguments is still what it was when the function was called."""
    if type(key) is TensorKey:
        return isinstance(x, Tensor)  # a handle of the function's own, which may have another value now
    used_up = isinstance(key, ValueKey) and any(state() != before for _, state, before in key.streams)
    return bool(key == later) and not used_up


def _first_difference(call: Call, now: Call) -> str:
    """Return where arguments of different structures differ first."""
    paths = [path for path in [*now.paths, *call.paths] if (path in now.paths) != (path in call.paths)]
    return paths[0] if paths else ""


def _host_streams() -> list[Any]:
    """Return the states of the random generators that Python and NumPy share with everybody."""
    numpy_random: Any = np.random  # loaded now, if not before: its own state must not seem to be a draw
    kind, keys, *rest = numpy_random.get_state()
    return [random.getstate(), (kind, keys.tobytes(), *rest)]
