"""Writer: writes the source of a plan, one line a step, and decides where each value lies."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from eagerflow.capture.graph import (
    ASSIGN,
    CALLBACK,
    CONSTANT,
    LENGTH,
    PARAMETER,
    READ,
    RECV,
    SEND,
    Graph,
    Node,
    Special,
    Value,
)
from eagerflow.capture.interpreter import call_back
from eagerflow.capture.plan.buffers import Buffer, Buffers, allocate, as_array
from eagerflow.capture.plan.lives import Lives
from eagerflow.capture.plan.results import LARGE, Results
from eagerflow.capture.plan.steps import Step, device_of
from eagerflow.capture.plan.variables import target
from eagerflow.capture.state import Counter
from eagerflow.core.dims import Symbolic, evaluate
from eagerflow.core.tensor import wrap


class Writer:
    """The source of one plan.

    Attributes
    ----------
    source : str
        A function ``run(inputs, workspace, draws, step)``; with `timed` it takes lists for when each step begins and
        ends, too.
    lines : dict
        Per line of the source the step that runs there.
    names : dict
        Per value its name in the source.
    buffers : Buffers
        The memory of the workspace.
    memory : tuple of int
        Bytes with reuse, without, and of results.
    """

    def __init__(
        self,
        graph: Graph,
        steps: Sequence[Step],
        outputs: Sequence[Value],
        lives: Lives,
        lengths: dict[str, int],
        timed: bool = False,
        in_turns: bool = False,
    ) -> None:
        self.name = graph.name
        self.steps = steps
        self.lives = lives
        self.lengths = lengths
        self.names: dict[Value, str] = {}
        self.lines: dict[int, Step] = {}
        self.buffers = Buffers()
        self._globals: dict[str, Any] = {"asarray": np.asarray, "empty": np.empty, "wrap": wrap, "target": target,
                                         "call_back": call_back, "shares": np.may_share_memory,
                                         "now": time.perf_counter}  # fmt: skip
        devices = {device_of(step.node) for step in steps}
        # Where all is on one device that is not the host, it is activated once.
        self._active = next(iter(devices)) if len(devices) == 1 and not any(d.on_host for d in devices) else None
        self._body: list[tuple[Step | None, str]] = []
        self._before: list[str] = []  # of the function that makes the workspace
        self._workspace: list[str] = []
        self._taken: dict[Value, Buffer] = {}
        self._samples: dict[Value, np.ndarray] = {}  # arrays with the strides of those in the workspace
        self._flats: dict[Value, str] = {}  # names of the same as arrays of one axis
        self._reads = {v for step in steps if step.node.op is READ for v in step.node.outputs}
        self._whole = self._results = 0
        self._kinds = dict.fromkeys(graph.inputs, "parameter")
        self._in_place = _in_place(steps, lives)
        self._in_turns = in_turns
        self._write(graph, outputs, timed)

    @property
    def memory(self) -> tuple[int, int, int]:
        """Bytes with reuse, without, and of results."""
        return self.buffers.size, self._whole, self._results

    def places(self) -> dict[Value, int | str]:
        """Return where each value lies: the number of a buffer, or what else holds it."""
        named = {"parameter": "input", "result": "output", "view": "new", "view of buffer": "new"}
        found: dict[Value, int | str] = {value: named.get(kind, kind) for value, kind in self._kinds.items()}
        for buffer in self.buffers.all:
            found.update({value: buffer.index for value, _, _ in buffer.lives})
        for value, roots in self.lives.roots.items():
            if found.get(value) == "new" and len(roots) == 1:
                (root,) = roots
                found[value] = found.get(root, "new")
        return found

    def functions(self) -> tuple[Callable[..., Any], Callable[..., Any]]:
        """Return what makes a workspace, and what runs the plan in one."""
        setup = ["def setup():", "    memory = allocate(buffers)", *[f"    {line}" for line in self._before]]
        setup.append(f"    return ({''.join(name + ', ' for name in self._workspace)})")
        space = {**self._globals, "allocate": allocate, "as_array": as_array, "buffers": self.buffers}
        exec(compile("\n".join(setup), f"<plan of {self.name}: workspace>", "exec"), space)
        code = dict(self._globals)
        exec(compile(self.source, f"<plan of {self.name}>", "exec"), code)
        return space["setup"], code["run"]

    # --- the whole --------------------------------------------------------------------------------

    def _write(self, graph: Graph, outputs: Sequence[Value], timed: bool) -> None:
        head = [f"def run(inputs, workspace, draws, step{', starts, ends' if timed else ''}):"]
        for value in graph.inputs:
            self.names[value] = f"x{len(self.names)}"
        if graph.inputs:
            head.append(f"    {', '.join(self.names[v] for v in graph.inputs)}, = inputs")
        head += self._draws(graph)
        if any(step.node.op is SEND or step.node.op is RECV for step in self.steps):
            head.append("    send, receive = step.send, step.receive")
        for position, step in enumerate(self.steps):
            before = len(self._body)
            self._step(position, step)
            self._let_go(position, step)
            if timed:
                self._body.insert(before, (None, f"starts[{position}] = now()"))
                self._emit(None, f"ends[{position}] = now()")
        results = [self._result(value) for value in outputs]
        self._emit(None, f"return [{', '.join(results)}]")
        if self._workspace:
            head.append(f"    {', '.join(self._workspace)}, = workspace")
        indent = "    "
        if self._active is not None:
            self._globals["activate"] = self._active.kind.activate
            head.append(f"    with activate({self._active.index}):")
            indent *= 2
        offset = len(head) + 1
        self.lines = {offset + i: step for i, (step, _) in enumerate(self._body) if step is not None}
        self.source = "\n".join([*head, *[f"{indent}{line}" for _, line in self._body]]) + "\n"

    def _draws(self, graph: Graph) -> list[str]:
        """Return lines that say where the draws of each generator begin, and number the generators."""
        counts: dict[int, tuple[Any, int | None]] = {id(g): (g, count) for g, count in graph.draws}
        for step in self.steps:  # a part of a graph draws from what the run as a whole took
            counter = step.attrs.get("counter")
            if isinstance(counter, Counter):
                counts.setdefault(id(counter.generator), (counter.generator, None))
        self._generators = {key: i for i, key in enumerate(counts)}
        lines = []
        for i, (key, (generator, count)) in enumerate(counts.items()):
            self._globals[f"g{i}"] = generator
            own = "" if count is None else f"g{i}.take({count}) if draws is None else "
            lines.append(f"    key{i}, counter{i} = {own}draws[{key}]")
        return lines

    def _emit(self, step: Step | None, line: str) -> None:
        self._body.append((step, line))

    def _global(self, prefix: str, thing: Any) -> str:
        name = f"{prefix}{len(self._globals)}"
        self._globals[name] = thing
        return name

    # --- steps ------------------------------------------------------------------------------------

    def _step(self, position: int, step: Step) -> None:
        node = step.node
        if node.op is PARAMETER:
            return
        if node.op is CONSTANT or node.op is LENGTH:
            (value,) = node.outputs
            data = node.attrs["value"] if node.op is CONSTANT else _length(node, self.lengths, value.device)
            self.names[value] = self._global("c", data)
            self._kinds[value] = "constant"
            if type(data) is np.ndarray:
                self._samples[value] = data
        elif node.op is READ:
            (value,) = node.outputs
            variable = self._global("var", node.attrs["variable"])
            self._bind(step, f"{variable}._value._held")
            self._kinds[value] = "variable"
        elif node.op is ASSIGN:
            self._assign(step)
        elif node.op is SEND:
            self._emit(step, f"send({node.attrs['edge'].number}, {self._inputs(node) or None})")
        elif node.op is RECV:
            number = node.attrs["edge"].number
            self._bind(step, f"yield {number}" if self._in_turns else f"receive({number})")
            # Where both devices see one memory, what comes may lie in that of an argument or a constant.
            edge = node.attrs["edge"]
            lent = edge.lent and edge.source.on_host and edge.target.on_host
            self._kinds.update(dict.fromkeys(node.outputs, "lent" if lent else "received"))
        elif node.op is CALLBACK:
            called = f"call_back({self._global('node', node)}, [{self._inputs(node)}])"
            self._bind(step, called, several=True)
            self._kinds.update(dict.fromkeys(node.outputs, "new"))
        elif step.form == "out":
            self._out(position, step)
        else:
            self._call(position, step)

    def _bind(self, step: Step, expression: str, several: bool = False) -> None:
        names = [self._named(value) for value in step.node.outputs]
        if not names:
            self._emit(step, expression)
        elif several:
            self._emit(step, f"{', '.join(names)}, = {expression}")
        else:
            self._emit(step, f"{names[0]} = {expression}")

    def _named(self, value: Value) -> str:
        name = self.names[value] = f"v{len(self.names)}"
        return name

    def _operand(self, x: Any) -> str:
        if isinstance(x, Value):
            return self.names[x]
        if isinstance(x, Symbolic):
            x = evaluate(x, self.lengths)
        if x is None or type(x) in (bool, int):
            return repr(x)
        return self._global("n", x)

    def _inputs(self, node: Node) -> str:
        return ", ".join([self._operand(x) for x in node.inputs])

    def _call(self, position: int, step: Step) -> None:
        node, op = step.node, step.node.op
        home = device_of(node)
        arguments = self._inputs(node)
        if op.effects == "random" and isinstance(step.attrs.get("counter"), Counter):
            counter = step.attrs["counter"]
            which = self._generators[id(counter.generator)]
            rest = {key: v for key, v in step.attrs.items() if key not in ("key", "counter")}
            more = f"key=key{which}, counter=counter{which} + {counter.index + counter.offset}"
            arguments += f"{', ' if arguments else ''}{more}, **{self._global('a', rest)}"
        elif step.attrs:
            arguments += f"{', ' if arguments else ''}**{self._global('a', step.attrs)}"
        function = step.call if home.on_host or home is self._active else _elsewhere(step.call, home)
        called = f"{self._global('k', function)}({arguments})"
        if step.form == "view" and self._views(step):
            # A view of the workspace or of a constant is made with the workspace.
            names = [self._named(value) for value in node.outputs]
            self._before.append(f"{', '.join(names)}{', ' if op.outputs != 1 else ''} = {called}")
            self._workspace += names
            self._kinds.update(dict.fromkeys(node.outputs, "view of buffer"))
            return
        if op.outputs != 1:
            self._bind(step, called, several=True)
            for value in node.outputs:
                self._kinds[value] = "new"
            return
        (value,) = node.outputs
        if _may_be_scalar(step):
            called = f"{'asarray' if home.on_host else self._global('array', _array_on(home))}({called})"
        self._bind(step, called)
        self._kinds[value] = "view" if step.form == "view" else "new"
        if step.form != "view" and home.on_host:
            self._whole += step.specs[0].nbytes

    def _views(self, step: Step) -> bool:
        """Tell whether results are views of arrays that lie still: a reshape may have to copy, so it is tried."""
        given = [self._samples.get(x) if isinstance(x, Value) else x for x in step.node.inputs]
        if any(x is None for x in given):
            return False
        made = step.call(*given, **step.attrs)
        several = [made] if step.node.op.outputs == 1 else list(made)
        arrays = [x for x in given if isinstance(x, np.ndarray)]
        if not all(isinstance(y, np.ndarray) and any(np.may_share_memory(x, y) for x in arrays) for y in several):
            return False
        self._samples.update(zip(step.node.outputs, several, strict=True))
        return True

    def _out(self, position: int, step: Step) -> None:
        arguments = [self._operand(x) for x in step.node.inputs]
        targets = [self._memory(position, step, index) for index in range(len(step.specs))]
        if step.call is np.maximum or step.call is np.minimum:
            targets[0] = f"out={targets[0]}"  # a third input without a name is deprecated
        if step.attrs:
            targets.append(f"**{self._global('a', step.attrs)}")
        direct = None if step.kernel is None or step.parts is not None else step.kernel.direct
        if direct is not None:
            before = [repr(x) if type(x) is int else self._global("s", x) for x in direct]
            flat = [self._flat(x) for x in (*step.node.inputs, *step.node.outputs)]
            self._emit(step, f"{self._global('k', step.kernel.function)}({', '.join([*before, *flat])})")
        elif step.parts is None:
            self._emit(step, f"{self._global('k', step.call)}({', '.join([*arguments, *targets])})")
        if step.parts is None:
            return
        groups = []
        for inputs, outputs in step.parts:
            groups.append(f"({', '.join([*arguments[:inputs], *targets[:outputs]])})")
            del arguments[:inputs], targets[:outputs]
        self._emit(step, f"{self._global('k', step.call)}([{', '.join(groups)}])")

    def _flat(self, value: Value) -> str:
        """Return an array as one of a single axis, for kernels that are called without a way around."""
        name = self.names[value]
        sample = self._samples.get(value)
        if sample is None or not sample.flags.c_contiguous:
            own = self._kinds[value] in ("result", "variable") and len(value.shape) == 1
            return name if own and value not in self._reads else f"{name}.ravel()"
        if sample.ndim == 1:
            return name
        if value not in self._flats:
            self._flats[value] = flat = f"{name}_"
            self._before.append(f"{flat} = {name}.reshape(-1)")
            self._workspace.append(flat)
        return self._flats[value]

    def _memory(self, position: int, step: Step, index: int) -> str:
        """Return the name of the array that a result is written into."""
        value, spec = step.node.outputs[index], step.specs[index]
        self._whole += spec.nbytes
        if value in self.lives.escaping:
            self._kinds[value] = "result"
            self._results += spec.nbytes
            name = self._named(value)
            if spec.nbytes >= LARGE:
                self._emit(step, f"{name} = {self._global('r', Results(spec.shape, spec.dtype))}()")
                return name
            self._emit(step, f"{name} = empty({spec.shape!r}, {self._global('d', spec.dtype)})")
            return name
        assigned = self._in_place.get(value)
        if assigned is not None:
            variable, before = assigned
            self._kinds[value] = "variable"
            name = self._named(value)
            if before is None:
                self._emit(step, f"{name} = empty({spec.shape!r}, {self._global('d', spec.dtype)})")
            else:
                self._emit(step, f"{name} = target({self._global('var', variable)}, {self.names[before]})")
            return name
        self._kinds[value] = "buffer"
        last = max(self.lives.last[value], position)
        buffer = self._overwritten(position, step, index)
        if buffer is None:
            buffer = self.buffers.take(value, spec.nbytes, position, last)
        else:
            self.buffers.share(value, buffer, position, last)
        self._taken[value] = buffer
        self._samples[value] = np.empty(spec.shape, spec.dtype)
        name = self._named(value)
        self._before.append(
            f"{name} = as_array(memory[{buffer.index}], {spec.shape!r}, {self._global('d', spec.dtype)})"
        )
        self._workspace.append(name)
        return name

    def _overwritten(self, position: int, step: Step, index: int) -> Buffer | None:
        """Return the buffer of an input that ends here and whose memory the result may take, if there is one."""
        node, spec = step.node, step.specs[index]
        for i in sorted(step.may_overwrite[index]):
            x = node.inputs[i]
            if not isinstance(x, Value) or x not in self._taken or self.lives.last[x] != position:
                continue
            if evaluate(x.shape, self.lengths) != spec.shape or x.dtype.itemsize != spec.dtype.itemsize:
                continue
            others = [y for j, y in enumerate(node.inputs) if j != i and isinstance(y, Value)]
            if any(x in self.lives.roots[y] and y is not x for y in others):
                continue  # a view of the same memory, in another order perhaps
            return self._taken.pop(x)
        return None

    def _assign(self, step: Step) -> None:
        (value,) = step.node.values
        variable = step.node.attrs["variable"]
        name, holder = self.names[value], self._global("var", variable)
        device = self._global("dev", variable.device)
        kinds = {self._kinds[root] for root in self.lives.roots[value]}
        if value in self._in_place and self._in_place[value][0] is variable:
            self._emit(step, f"if {holder}._value._held is not {name}: {holder}._value = wrap({name}, {device})")
        elif kinds <= ({"new"} if self._kinds[value] == "new" else {"result", "constant", "variable", "received"}):
            self._emit(step, f"{holder}._value = wrap({name}, {device})")
        else:
            self._emit(step, f"{holder}._value = wrap({self._copied(value)}, {device})")

    # --- the ends of lives ------------------------------------------------------------------------

    def _let_go(self, position: int, step: Step) -> None:
        """Give buffers back, and drop names, of what no later step needs."""
        for value in dict.fromkeys([*step.node.values, *step.node.outputs]):
            for root in self.lives.roots[value]:
                if self.lives.last[root] <= position and root in self._taken:
                    self.buffers.release(self._taken.pop(root))
        ended = [
            self.names[value]
            for value in dict.fromkeys([*step.node.values, *step.node.outputs])
            if self.lives.last_name[value] <= position
            and self._kinds.get(value) in ("new", "view", "variable", "result", "received")
        ]
        if ended:
            self._emit(None, f"del {', '.join(ended)}")

    def _result(self, value: Value) -> str:
        """Return the expression for an output: never memory of an argument, a constant, or that a later run writes."""
        name = self.names[value]
        roots = self.lives.roots[value]
        kind = self._kinds[value]
        if kind in ("parameter", "constant", "lent", "view of buffer", "buffer"):
            return self._copied(value)
        given = [
            self.names[root]
            for root in roots
            if self._kinds.get(root) in ("parameter", "constant", "lent") and root.device.kind is value.device.kind
        ]
        if not given:
            return name
        shares = "shares"
        if not value.device.on_host:
            if not hasattr(value.device.kind.namespace, "may_share_memory"):
                return self._copied(value)
            shares = self._global("shares", value.device.kind.namespace.may_share_memory)
        test = " or ".join(f"{shares}({name}, {x})" for x in given)
        return f"({self._copied(value)} if {test} else {name})"

    def _copied(self, value: Value) -> str:
        """Return the expression for a copy."""
        name, device = self.names[value], value.device
        if device.on_host:
            return f"{name}.copy()"
        return f"{self._global('copy', device.kind.copy)}({name}, {device.index})"


def _in_place(steps: Sequence[Step], lives: Lives) -> dict[Value, tuple[Any, Value | None]]:
    """Return per value that is assigned: the Variable, and its value before if that can be written over."""
    found: dict[Value, tuple[Any, Value | None]] = {}
    made = {value: (position, step) for position, step in enumerate(steps) for value in step.node.outputs}
    written: dict[int, int] = {}
    for step in steps:
        if step.node.op is ASSIGN:
            key = id(step.node.attrs["variable"])
            written[key] = written.get(key, 0) + 1
    for place, step in enumerate(steps):
        if step.node.op is not ASSIGN:
            continue
        (value,) = step.node.values
        variable = step.node.attrs["variable"]
        position, maker = made[value]
        if maker.form != "out" or value in found or value in lives.escaping:
            continue
        before = None
        if written[id(variable)] == 1 and not any(_looks(other, variable) for other in steps[position + 1 : place]):
            before = _replaceable(position, maker, maker.node.outputs.index(value), variable, lives)
        found[value] = (variable, before)
    return found


def _looks(step: Step, variable: Any) -> bool:
    """Tell whether a step between may see that a Variable has its next value already: by reading it, or by failing."""
    op = step.node.op
    if op is READ:
        return step.node.attrs["variable"] is variable
    return op is CALLBACK or (op.fusion == "opaque" and not isinstance(op, Special))


def _replaceable(position: int, maker: Step, index: int, variable: Any, lives: Lives) -> Value | None:
    for i in maker.may_overwrite[index]:
        x = maker.node.inputs[i]
        if not isinstance(x, Value) or x.node.op is not READ or x.node.attrs["variable"] is not variable:
            continue
        if lives.last[x] != position or x.dtype != maker.specs[index].dtype or x.shape != maker.specs[index].shape:
            continue
        if not any(x in lives.roots[y] and y is not x for y in maker.node.values):
            return x
    return None


def _may_be_scalar(step: Step) -> bool:
    """Tell whether a kernel may give a NumPy scalar for an array without axes."""
    return step.specs[0].shape == ()


def _length(node: Node, lengths: dict[str, int], device: Any) -> Any:
    array = np.asarray(evaluate(node.attrs["length"], lengths), node.outputs[0].dtype)
    return array if device.on_host else device.kind.from_host(array, device.index)


def _array_on(device: Any) -> Callable[[Any], Any]:
    """Return what makes an array of a device of the number that a kernel may give for it."""
    kind = device.kind
    return lambda x: x if isinstance(x, kind.array_type) else kind.from_host(np.asarray(x), device.index)


def _elsewhere(kernel: Callable[..., Any], device: Any) -> Callable[..., Any]:
    def call(*inputs: Any, **attrs: Any) -> Any:
        with device.kind.activate(device.index):
            return kernel(*inputs, **attrs)

    return call
