"""ConcreteFunction: one trace of a function, with its graph and the plans that run it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Container, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import optree

from eagerflow.capture.differentiation import Differentiated
from eagerflow.capture.executable import Executable
from eagerflow.capture.graph import Graph
from eagerflow.capture.options import USUAL, Options
from eagerflow.capture.tracing.signature import Call, TensorKey
from eagerflow.core import Tensor, Variable, is_inexact, wrap
from eagerflow.core.dims import unify
from eagerflow.core.explain import describe, user_line
from eagerflow.core.record import active, recorders
from eagerflow.devices import CPU0
from eagerflow.errors import ArgumentError, DTypeError, GradientError, ShapeError
from eagerflow.late import loading

if TYPE_CHECKING:
    from concurrent.futures import Future

    from eagerflow.capture.placement import Placement
    from eagerflow.capture.plan import Memory
    from eagerflow.capture.profile import Profile
    from eagerflow.capture.program import Program

_ONE: Any = 0
_LEAF = optree.tree_structure(_ONE, none_is_leaf=True)


class Result(NamedTuple):
    """A leaf of what a function returns: a value of the graph, or something fixed."""

    position: int | None
    fixed: Any


class ConcreteFunction:
    """A captured function for arguments of certain dtypes, shapes and Python values.

    It comes from `Function.get_concrete_function`.

    Attributes
    ----------
    name : str
        Name of the function.
    graph : Graph
        What was captured.
    """

    def __init__(
        self,
        name: str,
        graph: Graph,
        keys: Sequence[Any],
        structure: Any,
        results_structure: Any,
        results: Any,
        hidden: Sequence[Any] = (),
        options: Options = USUAL,
    ) -> None:
        self.name = name
        self.graph = graph
        self._keys = tuple(keys)
        self._structure = structure
        self._results_structure = results_structure
        self._results: list[Result] = results
        self._hidden = list(hidden)  # arrays outside that the graph reads in every run
        self._one = len(results) == 1 and results_structure == _LEAF and results[0].position is not None
        self.bind: Callable[..., Call] | None = None  # how the function puts arguments in order
        self.python: Callable[[Sequence[Tensor]], Any] | None = None  # the function, if it has gradients of its own
        self._lock = threading.Lock()
        self._options = options
        self._executable = Executable(graph, options)
        self._devices = [value.device for value in graph.outputs]
        self._variables = [v for v in graph.variables() if v.trainable or is_inexact(v.dtype)]
        self._profile: Profile | None = None
        self._differentiated: dict[Any, Differentiated] = {}

    def refuses(self, arrays: Sequence[Any]) -> str | None:
        """Return why the trace does not hold for the lengths of arrays; None if it does."""
        lengths: dict[str, int] = {}
        for value, array in zip(self.graph.inputs, [*arrays, *self._hidden], strict=True):
            if not unify(value.shape, array.shape, lengths):
                return f"{value.node.attrs['name']} has shape {array.shape}"
        reason: str | None = self.graph.guards.failed(lengths)
        return reason

    def run_quick(self, tensors: Sequence[Any]) -> Any:
        """Run the graph on Tensors and NumPy arrays: see `quick_key`."""
        if active.get():
            lent = [i for i, x in enumerate(tensors) if type(x) is not Tensor]
            return self.run([wrap(x, CPU0) if type(x) is not Tensor else x for x in tensors], lent)
        return self._run([x._held if type(x) is Tensor else x for x in tensors])

    def _run(self, arrays: list[Any]) -> Any:
        if self._hidden:
            arrays += self._hidden
        return self._packed(self._executable.run(arrays))

    def run(self, tensors: Sequence[Tensor], lent: Container[int]) -> Any:
        """Run the graph on the Tensors of a call; `lent` are those that see memory of others."""
        if active.get():
            followed, records, variables = self._followed(tensors)
            if records and self.python is not None:
                return self.python(_owned(tensors, lent))  # gradient functions in it are Python
            if records:
                return self._pack(self._on_tapes(tensors, lent, followed, records, variables))
        return self._run([x._held for x in tensors])

    def submit(self, *args: Any, **kwargs: Any) -> Future[Any]:
        """Start the graph on arguments like those that it was captured for; see `Function.submit`."""
        call = self._fitting(args, kwargs)
        return self.start(call.tensors(), call.lent)

    def start(self, tensors: Sequence[Tensor], lent: Container[int]) -> Future[Any]:
        """Start the graph on the Tensors of a call; `lent` are those that see memory of others."""
        if active.get() and self._followed(tensors)[1]:
            raise GradientError(
                f"{self.name}.submit: a tape follows what it takes, and cannot wait for a run that goes on by itself; "
                f"call the function, or submit outside of the tape\n  at {user_line()}"
            )
        # Whoever owns NumPy arrays may write to them before the run is over.
        arrays = [x._held for x in _owned(tensors, lent)] + [array.copy() for array in self._hidden]
        return self._executable.program(arrays).executor.submit(arrays, self._packed)

    def _packed(self, made: list[Any]) -> Any:
        if self._one:
            return wrap(made[0], self._devices[0])
        return self._pack([wrap(a, device) for a, device in zip(made, self._devices, strict=True)])

    def _followed(self, tensors: Sequence[Tensor]) -> tuple[list[int], list[Any], list[Variable]]:
        """Return which arguments and Variables open tapes follow, with the records of both."""
        tapes = active.get()
        positions = [i for i, x in enumerate(tensors) if _is_followed(x) and is_inexact(x.dtype)]
        records: list[Any] = [tensors[i]._rec for i in positions]
        variables = []
        for variable in self._variables:
            record = variable._followed(tapes) if is_inexact(variable.dtype) else None
            if record is not None:
                variables.append(variable)
                records.append(record)
        return positions, records, variables

    def _on_tapes(
        self,
        tensors: Sequence[Tensor],
        lent: Container[int],
        positions: list[int],
        records: list[Any],
        variables: list[Variable],
    ) -> list[Tensor]:
        """Run the graph and record it on the tapes."""
        # What a tape keeps must not change when the owner of a NumPy array writes to it.
        inputs = _owned(tensors, lent)
        inputs += [wrap(array.copy(), CPU0) for array in self._hidden]
        key = (tuple(positions), tuple(map(id, variables)))
        with self._lock:
            made = self._differentiated.get(key)
            if made is None:
                made = self._differentiated[key] = Differentiated(
                    self.graph, tuple(positions), variables, self._options
                )
        return made.run(inputs, tuple(records))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the graph on arguments like those that it was captured for.

        Raises
        ------
        ShapeError, DTypeError
            They are others.
        """
        call = self._fitting(args, kwargs)
        return self.run(call.tensors(), call.lent)

    def _fitting(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
        call = Call(args, kwargs, self.name) if self.bind is None else self.bind(args, kwargs)
        if call.structure != self._structure:
            raise ArgumentError(
                f"{self.name}: captured for arguments {self._structure}, got {call.structure}\n  at {user_line()}"
            )
        for mine, given in zip(self._keys, call.keys, strict=True):
            if not (mine.serves(given) if isinstance(mine, TensorKey) else mine == given):
                same = isinstance(given, TensorKey) and given.dtype == getattr(mine, "dtype", None)
                kind = ShapeError if same else DTypeError
                raise kind(f"{self.name}: captured for {mine!r}, got {given!r}\n  at {user_line()}")
        refused = self.refuses(call.arrays())
        if refused is not None:
            raise ShapeError(f"{self.name}: captured for lengths with {refused}\n  at {user_line()}")
        return call

    @property
    def optimized_graph(self) -> Graph:
        """The graph that runs: what the passes made of `graph`."""
        return self._executable.graph

    @property
    def source(self) -> str:
        """The Python that runs, for the lengths of the last call (or those seen while capturing)."""
        return self._last().source

    def _last(self) -> Program:
        return self._executable.last()

    def memory(self) -> Memory:
        """Return how many bytes of buffers the last plans need, with and without using them again; of all devices.

        Returns
        -------
        Memory
            ``peak``, ``without_reuse`` and ``results``, in bytes.

        Examples
        --------
        >>> import eagerflow as ef
        >>> f = ef.function(lambda x, w: ef.sum((x @ w) @ w @ w))
        >>> f.get_concrete_function(ef.TensorSpec([8, 8]), ef.TensorSpec([8, 8])).memory()
        Memory(peak=1024, without_reuse=1544, results=8)
        """
        return self._last().memory

    def profile(self, *args: Any, repeat: int = 5, **kwargs: Any) -> Profile:
        """Run with a clock at every node; Variables and random generators are as before afterwards.

        Parameters
        ----------
        *args, **kwargs
            As in a call. Callbacks are called in every run.
        repeat : int
            Number of runs; of each node the least time counts.

        Returns
        -------
        Profile
            Seconds by node; its text is a table of the slowest.

        Examples
        --------
        >>> import eagerflow as ef
        >>> f = ef.function(lambda x: ef.sum(x @ x))
        >>> x = ef.ones((64, 64))
        >>> profile = f.get_concrete_function(x).profile(x)
        >>> profile.total > 0
        True
        """
        with loading:
            from eagerflow.capture.profile import unchanged

        call = self._fitting(args, kwargs)
        arrays = [*call.arrays(), *self._hidden]
        program = self._executable.program(arrays)
        with unchanged(self.graph):
            self._profile = program.profile(self.name, arrays, repeat)
        return self._profile

    def placement(self) -> Placement:
        """Return where the nodes of the optimized graph run, and why, for the lengths of the last call.

        Returns
        -------
        Placement
            Its text is a table: a line per node with what each device would cost, in microseconds.

        Raises
        ------
        PlacementError
            Requests cannot all be met.

        Examples
        --------
        >>> import eagerflow as ef
        >>> f = ef.function(lambda x: ef.sum(x @ x))
        >>> placement = f.get_concrete_function(ef.TensorSpec([8, 8])).placement()
        >>> placement.devices
        [cpu:0]
        """
        return self._last().placement

    def place(self, profile: Profile | None = None) -> None:
        """Decide anew where nodes run, by measured times.

        Parameters
        ----------
        profile : Profile, optional
            What `profile` returned; without it by what ops declare and `eagerflow.devices.calibrate` measured.

        Raises
        ------
        ArgumentError
            It is the profile of another function.

        Examples
        --------
        >>> import eagerflow as ef
        >>> f = ef.function(lambda x: ef.sum(x @ x))
        >>> x = ef.ones((64, 64))
        >>> concrete = f.get_concrete_function(x)
        >>> concrete.place(concrete.profile(x))
        """
        if profile is None:
            self._executable.place(None)
            return
        seconds = profile.by_node(self.optimized_graph) if hasattr(profile, "by_node") else {}
        if not seconds and getattr(profile, "times", True):
            came = f"a profile of {profile.name}" if hasattr(profile, "name") else describe(profile)
            raise ArgumentError(
                f"place: expected what `profile` of {self.name} returned, got {came}\n  at {user_line()}"
            )
        self._profile = profile
        self._executable.place(seconds)

    def save_html(self, path: Any) -> None:
        """Write a page that shows the graph, its memory, its devices and, after `profile`, the time of each node.

        Parameters
        ----------
        path : str or path
            Of the file; it opens in any browser and needs nothing else.

        Examples
        --------
        >>> import eagerflow as ef
        >>> f = ef.function(lambda x: ef.sum(x * x))
        >>> f.get_concrete_function(ef.ones(3)).save_html("/tmp/graph.html")  # doctest: +SKIP
        """
        with loading:
            from eagerflow.capture.page import write

        write(path, self._last().view(self._profile))

    def _pack(self, tensors: Sequence[Tensor]) -> Any:
        leaves = [_fresh(r.fixed) if r.position is None else tensors[r.position] for r in self._results]
        return self._results_structure.unflatten(leaves)

    def __repr__(self) -> str:
        return f"<captured function {self.name!r}: {len(self.graph)} nodes>"


def _fresh(value: Any) -> Any:
    return value.copy() if isinstance(value, np.ndarray) else value


def _owned(tensors: Sequence[Tensor], lent: Container[int]) -> list[Tensor]:
    """Return Tensors of which nobody else sees the memory."""
    return [wrap(x._held.copy(), x._device, x._rec) if i in lent else x for i, x in enumerate(tensors)]


def _is_followed(x: Tensor) -> bool:
    return x._rec is not None and any(tape.recording for tape in recorders(x._rec.tape))
