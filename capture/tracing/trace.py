"""Trace: runs a function on symbols, and writes down as a graph what it does."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np

from eagerflow.capture.graph import ASSIGN, CONSTANT, LENGTH, PARAMETER, READ, Graph, Node, Value
from eagerflow.capture.interpreter import evaluate_nodes
from eagerflow.capture.state import Counter, Draws, Key, Order
from eagerflow.capture.tracing.place import Places
from eagerflow.capture.tracing.symbol import Symbol
from eagerflow.core import Tensor, Variable, alias, interpret, wrap
from eagerflow.core.dims import Guards, Symbolic, has_dims
from eagerflow.core.dispatch import EXTENSION, SCALARS, Eager
from eagerflow.core.explain import explain, user_line
from eagerflow.core.op import Op
from eagerflow.core.record import Record, active, recorders
from eagerflow.core.spec import Spec
from eagerflow.core.traced import Level, Traced, capturing, traced
from eagerflow.devices import Device, current
from eagerflow.devices.request import Request, requested
from eagerflow.errors import CaptureError


class NotCapturable(Exception):
    """The function uses a value of a transformation around the captured function: it has to run as it is."""


class Trace(Level):
    """One run of a function on symbols.

    Parameters
    ----------
    name : str
        Name of the function.
    large : sequence of (str, ndarray)
        Large arrays outside, which their owner may write to, with what they are called.

    Attributes
    ----------
    nodes : list of Node
        What it did so far.
    guards : Guards
        What it took for granted of symbolic lengths.
    variables : list of Variable
        Variables that the function made.
    hidden : list of ndarray
        Those of the large arrays that are read in every run: parameters after those of the arguments.
    """

    def __init__(self, name: str, large: Sequence[tuple[str, np.ndarray]] = ()) -> None:
        super().__init__()
        self.function = name
        self.name = f"the captured function {name!r}"
        self.nodes: list[Node] = []
        self.guards = Guards()
        self.guards.lift = self.lift  # what makes a traced value of a plain one, where a symbolic length asks for it
        self.variables: list[Variable] = []
        self.made_at = ""  # the line of the last of them
        self.hidden: list[np.ndarray] = []
        self.own_gradients = False  # whether a gradient function of the user's is in it
        self._large = large
        self._places = Places()
        self._at: Node | None = None
        self._order = Order()
        self._state: dict[int, Symbol] = {}
        self._constants: dict[int, Value] = {}
        self._kept: list[Any] = []
        self._draws: dict[int, tuple[Any, int]] = {}
        self._wishes: dict[Record, Request] = {}

    @contextmanager
    def tracing(self) -> Iterator[None]:
        """Capture what this block does."""
        with ExitStack() as stack:
            stack.enter_context(self.running())
            stack.enter_context(interpret(_Interpreter(self)))
            token = capturing.set(self)
            try:
                yield
            finally:
                capturing.reset(token)

    # --- nodes ------------------------------------------------------------------------------------

    def add(
        self,
        op: Any,
        inputs: Iterable[Any],
        attrs: Any,
        results: Iterable[tuple[Spec, Device]],
        control: Iterable[Node] = (),
    ) -> Node:
        """Add a node."""
        scope, line = (self._at.scope, self._at.line) if self._at is not None else self._places.here()
        # A copy to a device says itself where it is.
        node = Node(op, inputs, attrs, results, control, scope, line, None if op.moves else self._wish())
        self.nodes.append(node)
        return node

    def _wish(self) -> Request | None:
        """Return where the program asks for the next node to be."""
        asked = requested.get()
        return self._at.request if asked is None and self._at is not None else asked

    def wish_of(self, record: Record) -> Request | None:
        """Return where the program asks for an operation on a tape to be; its gradient is computed there, too."""
        return self._wishes.get(record)

    def _record(self, op: Op, inputs: list[Any], results: list[Any], attrs: dict[str, Any]) -> None:
        super()._record(op, inputs, results, attrs)
        wish = self._wish()
        record = results[0]._rec
        if wish is not None and record is not None:
            self._wishes[record if op.outputs == 1 else record.parents[0]] = wish

    def at(self, node: Node | None) -> None:
        """Let the nodes that follow stand where another one stands; None for where the program is."""
        self._at = node

    def symbol(self, value: Value) -> Symbol:
        """Return the symbol of a value."""
        made: Symbol = traced(Symbol, value, self)
        return made

    def parameter(self, name: str, spec: Spec, device: Device) -> Symbol:
        """Add a parameter."""
        return self.symbol(self.add(PARAMETER, (), {"name": name}, [(spec, device)]).outputs[0])

    def constant(self, tensor: Tensor) -> Value:
        """Return the value of a plain Tensor: a constant of the graph."""
        data = tensor._held
        known = self._constants.get(id(data))
        if known is None:
            results = [(Spec(data.shape, data.dtype), tensor._device)]
            for name, array in self._large:
                if _is_copy(data, array):
                    known = self.add(PARAMETER, (), {"name": name}, results).outputs[0]
                    self.hidden.append(array)
                    break
            else:
                known = self.add(CONSTANT, (), {"value": data}, results).outputs[0]
            self._constants[id(data)] = known
            self._kept.append(data)  # so that nothing else gets its id
        return known

    def lift(self, value: Any) -> Symbol:
        """Return a Tensor or a symbolic number as a symbol."""
        if isinstance(value, Symbol) and value.level is self:
            return value
        return self.symbol(self._length(value) if isinstance(value, Symbolic) else self.value(value))

    def value(self, x: Any) -> Value:
        """Return the value of a Tensor.

        Raises
        ------
        NotCapturable
            A transformation outside follows it.
        """
        if isinstance(x, Traced):
            if x.level is not self:
                if x.level.depth < self.depth:
                    raise NotCapturable
                return self.value(x.concrete("a captured function keeps one value"))
            held: Value = x._held
            return held
        record = x._rec
        if record is not None and any(t.recording and t.depth < self.depth for t in recorders(record.tape)):
            raise NotCapturable
        return self.constant(x)

    # --- operations -------------------------------------------------------------------------------

    def compute(self, op: Op, inputs: list[Any], attrs: dict[str, Any]) -> Any:
        """Add the op to the graph."""
        values = [self.value(x) if isinstance(x, Tensor) else x for x in inputs]
        return self.node(op, values, attrs)

    def node(self, op: Op, inputs: list[Any], attrs: dict[str, Any]) -> Any:
        """Add an op on values and Python numbers; return the symbols of its results."""
        inputs = self._operands(op, inputs)
        # Where eager code would be. Inputs from several devices are for the placer to bring together.
        device = attrs["device"] if op.moves else next((x.device for x in inputs if isinstance(x, Value)), current())
        specs = [x.spec if isinstance(x, Value) else x.hint if isinstance(x, Symbolic) else x for x in inputs]
        try:
            inferred = op.infer(*specs, **attrs)
        except CaptureError:
            raise
        except Exception as error:
            if "depends on" in str(error):
                raise _data_dependent(op, str(error)) from None
            raise explain(op, specs, attrs, error) from error
        several = inferred if isinstance(inferred, tuple) else (inferred,)
        if any(None in spec.shape for spec in several):
            raise _data_dependent(op, "")
        node = self.add(op, inputs, attrs, [(spec, device) for spec in several])
        symbols = [self.symbol(value) for value in node.outputs]
        return symbols[0] if op.outputs == 1 else tuple(symbols)

    def _operands(self, op: Op, inputs: list[Any]) -> list[Any]:
        """Make values of numbers that cannot stay numbers."""
        wide = next((x.dtype for x in inputs if isinstance(x, Value) and x.dtype.num >= EXTENSION), None)
        if wide is not None:
            # Beside an extension dtype NumPy does not hold Python numbers weak; eager code gives them its dtype.
            inputs = [self.constant(wrap(np.asarray(x, wide), current())) if _is_number(x) else x for x in inputs]
        if not op.weak:
            inputs = [self._length(x) if isinstance(x, Symbolic) else x for x in inputs]
        return inputs

    def _length(self, length: Any) -> Value:
        dtype = np.asarray(length.hint).dtype
        return self.add(LENGTH, (), {"length": length}, [(Spec((), dtype), current())]).outputs[0]

    # --- state ------------------------------------------------------------------------------------

    def read(self, variable: Variable) -> Tensor:
        """Return the value of a Variable, on the tapes that were opened inside."""
        symbol = self._state.get(id(variable))
        if symbol is None:
            value = variable._value
            spec = Spec(value.shape, value.dtype)
            node = self.add(READ, (), {"variable": variable}, [(spec, value.device)], self._order.before_read(variable))
            self._order.read(variable, node)
            symbol = self._state[id(variable)] = self.symbol(node.outputs[0])
        tapes = tuple([tape for tape in active.get() if tape.depth >= self.depth])
        return alias(symbol, variable._followed(tapes) if tapes else None)

    def assign(self, variable: Variable, value: Tensor) -> Variable:
        """Give a Variable another value, of its shape and dtype."""
        made = self.value(alias(value) if isinstance(value, Symbol) else value)
        node = self.add(ASSIGN, (made,), {"variable": variable}, (), self._order.before_write(variable))
        self._order.wrote(variable, node)
        # A read of it is a node of its own: for tapes it gives the Variable, not what was assigned.
        self._state.pop(id(variable), None)
        return variable

    def created(self, variable: Variable, value: Tensor) -> Tensor:
        """Return the initial value of a Variable that the function makes: what eager code would give it."""
        self.variables.append(variable)
        self.made_at = user_line()
        if not isinstance(value, Traced):
            return value
        return wrap(self._initial(self.value(value)), value.device)

    def _initial(self, wanted: Value) -> Any:
        needed: set[Node] = set()
        stack = [wanted.node]
        while stack:
            node = stack.pop()
            if node in needed:
                continue
            if node.op is PARAMETER or node.op is READ or node.effects not in ("none", "random"):
                raise CaptureError(
                    f"Variable: a captured function makes a Variable whose initial value depends on its arguments or "
                    f"on another Variable; make it before, or from constants\n  at {user_line()}"
                )
            needed.add(node)
            stack.extend([value.node for value in node.values])
        # These draws happen now, once, and not in every run.
        nodes = [node for node in self.nodes if node in needed]
        generators = {id(node.attrs["counter"].generator): node.attrs["counter"].generator for node in nodes
                      if isinstance(node.attrs.get("counter"), Counter)}  # fmt: skip
        counts = [self._draws.pop(key) for key in generators]
        self.nodes = [node for node in self.nodes if node not in needed or node.effects != "random"]
        (found,) = evaluate_nodes(nodes, [wanted], {}, Draws(counts))
        self.nodes = [node for node in self.nodes if node not in needed or node.op is CONSTANT]
        return np.array(found) if isinstance(found, np.ndarray) else found

    def draw(self, generator: Any) -> dict[str, Any]:
        """Return the attributes of the next draw of a generator."""
        index = self._draws.get(id(generator), (generator, 0))[1]
        self._draws[id(generator)] = (generator, index + 1)
        return {"key": Key(generator), "counter": Counter(generator, index)}

    def callback(self, op: Any, inputs: Iterable[Tensor], attrs: Any, specs: Iterable[Spec]) -> list[Symbol]:
        """Add a node that calls Python, in order with everything else that has effects."""
        values = [self.value(x) for x in inputs]
        # Python gets Tensors that are where eager code would have them.
        attrs = {**attrs, "_homes": tuple([value.device for value in values])}
        node = self.add(op, values, attrs, [(spec, current()) for spec in specs], self._order.before_callback())
        self._order.called(node)
        self._state.clear()  # it may assign to Variables
        return [self.symbol(value) for value in node.outputs]

    # --- the result -------------------------------------------------------------------------------

    def graph(self, outputs: Iterable[Tensor]) -> Graph:
        """Return the graph with these results."""
        values = [self.value(alias(x) if isinstance(x, Symbol) else x) for x in outputs]
        parameters = [node.outputs[0] for node in self.nodes if node.op is PARAMETER]
        return Graph(self.function, parameters, values, self.nodes, self._draws.values(), self.guards)


class _Interpreter(Eager):
    """Sees what no symbol leads to the trace: random draws, and operations on symbolic lengths alone."""

    def __init__(self, trace: Trace) -> None:
        self.trace = weakref.proxy(trace)

    def apply(self, op: Op, inputs: tuple[Any, ...], attrs: dict[str, Any]) -> Any:
        lengths = any(isinstance(x, Symbolic) for x in inputs)
        if not lengths and not isinstance(attrs.get("key"), Key) and (inputs or not has_dims(attrs)):
            return super().apply(op, inputs, attrs)
        if not lengths:
            return self.trace.node(op, list(inputs), attrs)
        found = [x if isinstance(x, Symbolic) or type(x) in SCALARS or x is None else self._tensor(x) for x in inputs]
        if not any(isinstance(x, Traced) for x in found):
            # Numbers alone have the default dtype, as eager code gives them.
            found = [self.trace.symbol(self.trace._length(x)) if isinstance(x, Symbolic) else x for x in found]
        level = max((x.level for x in found if isinstance(x, Traced)), key=lambda level: level.depth)
        return level.apply(op, found, attrs)

    def _tensor(self, x: Any) -> Any:
        from_outside = x._read() if isinstance(x, Variable | Tensor) else x
        return from_outside if isinstance(from_outside, Traced) else self.trace.lift(Tensor(from_outside))


def _is_copy(data: Any, array: np.ndarray) -> bool:
    """Tell whether a constant has the values of an array outside."""
    return (
        type(data) is np.ndarray
        and data.shape == array.shape
        and data.dtype == array.dtype
        and data.dtype != object
        and np.array_equal(data, array, equal_nan=True)
    )


def _is_number(x: Any) -> bool:
    return type(x) in SCALARS


def _data_dependent(op: Op, reason: str) -> CaptureError:
    return CaptureError(
        f"{op.name}: the shape of its result depends on values, which a captured graph does not have"
        f"{': ' + reason if reason else ''}; use ef.where or a mask in place of selecting, or call it in "
        f"ef.py_function\n  at {user_line()}"
    )
