"""Graph: a captured function as immutable data: values assigned once, nodes in the order in which they run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from eagerflow.capture.dot import to_dot
from eagerflow.capture.text import to_text
from eagerflow.core.spec import Spec


class Value:
    """One result of a node: what it is, and which node makes it.

    Attributes
    ----------
    node : Node
        The node that makes it.
    index : int
        Which of the node's results it is.
    spec : Spec
        Shape and dtype; lengths may be symbolic (`eagerflow.core.dims.Dim`).
    device : Device
        Where it is.
    """

    __slots__ = ("device", "index", "node", "spec")

    def __init__(self, node: Node, index: int, spec: Spec, device: Any) -> None:
        self.node = node
        self.index = index
        self.spec = spec
        self.device = device

    @property
    def shape(self) -> tuple[Any, ...]:
        """Length of each axis."""
        return self.spec.shape

    @property
    def dtype(self) -> Any:
        """Dtype of the elements."""
        return self.spec.dtype

    def __repr__(self) -> str:
        return f"<{self.node.op.name}:{self.index} {self.spec}>"


class Node:
    """One operation in a graph.

    Attributes
    ----------
    op : Op or Special
        The operation.
    inputs : tuple
        A `Value` each, or a Python number as it was given, a symbolic length, or None for an input that was left out.
    attrs : Mapping
        Attributes of the call. Lengths in them may be symbolic.
    outputs : tuple of Value
        Its results.
    control : tuple of Node
        Nodes that have to run before, although no value passes between.
    scope : str
        Where in the program it was made: names of modules and of `eagerflow.name_scope`, joined by ``/``.
    line : str
        The user's line that made it.
    request : Request or None
        Where the program asks for it to be (`eagerflow.devices.request.Request`).
    """

    __slots__ = ("attrs", "control", "inputs", "line", "op", "outputs", "request", "scope")

    def __init__(
        self,
        op: Any,
        inputs: Iterable[Any],
        attrs: Mapping[str, Any],
        results: Iterable[tuple[Spec, Any]],
        control: Iterable[Node] = (),
        scope: str = "",
        line: str = "",
        request: Any = None,
    ) -> None:
        self.op = op
        self.inputs = tuple(inputs)
        self.attrs = attrs
        self.outputs = tuple([Value(self, i, spec, device) for i, (spec, device) in enumerate(results)])
        self.control = tuple(control)
        self.scope = scope
        self.line = line
        self.request = request

    @property
    def effects(self) -> str:
        """What else it does than compute results: see `EFFECTS`."""
        effects: str = self.op.effects
        return effects

    @property
    def values(self) -> Iterator[Value]:
        """Its inputs that are values."""
        return (x for x in self.inputs if isinstance(x, Value))

    def replaced(
        self, inputs: Iterable[Any], control: Iterable[Node] | None = None, attrs: Mapping[str, Any] | None = None
    ) -> Node:
        """Return the same node with other inputs."""
        return Node(
            self.op,
            inputs,
            self.attrs if attrs is None else attrs,
            [(value.spec, value.device) for value in self.outputs],
            self.control if control is None else control,
            self.scope,
            self.line,
            self.request,
        )

    def __repr__(self) -> str:
        return f"<Node {self.op.name}>"


class Special:
    """An operation that exists in graphs only: a parameter, a constant, the state of a Variable, a callback.

    It has of `Op` what passes and plans look at.
    """

    variadic = False
    weak = False
    moves = False
    fixed = 0
    scalar = lower = onnx = None
    optional: frozenset[str] = frozenset()

    def __init__(self, name: str, effects: str = "none", fusion: str = "opaque", outputs: int = 1) -> None:
        self.name = name
        self.effects = effects
        self.fusion = fusion
        self.outputs = outputs
        self.inputs: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"Special({self.name!r})"


# attrs: name (text).
PARAMETER = Special("parameter")
# attrs: value (a device array that nobody writes to).
CONSTANT = Special("constant")
# attrs: length (symbolic). The length as an integer of 64 bits without axes.
LENGTH = Special("length")
# attrs: variable. What was assigned by nodes before it is what it gives.
READ = Special("read_variable", "reads state")
# attrs: variable. One input, of the Variable's shape and dtype; no result.
ASSIGN = Special("assign_variable", "writes state", outputs=0)
# attrs: function, specs. Any inputs; calls Python with Tensors. `fixed` results: -1.
CALLBACK = Special("py_function", "callback", outputs=-1)
# attrs: edge. One input, which goes to the edge's device; none where the edge only says that something is done.
SEND = Special("send", "communicates", outputs=0)
# attrs: edge. What was sent: one result, or none.
RECV = Special("recv", "communicates", outputs=-1)
# attrs: graph (of elementwise ops and reductions, with the same inputs and outputs).
FUSED = Special("fused", outputs=-1)


class Graph:
    """A static dataflow graph.

    Parameters
    ----------
    name : str
        Name of the function.
    inputs : sequence of Value
        Results of `PARAMETER` nodes, in the order of the function's flat arguments.
    outputs : sequence of Value
        What it returns. A value may come more than once.
    nodes : sequence of Node
        All nodes, each after those that it needs.
    draws : sequence of (Generator, int)
        How many random numbers a run takes from which generator.
    guards : sequence
        What has to hold of symbolic lengths for the graph to be right (`eagerflow.core.dims.Guards`).

    Notes
    -----
    Nothing in a graph changes after it was made; passes make new graphs (see `rewrite`).
    """

    __slots__ = ("draws", "guards", "inputs", "name", "nodes", "outputs")

    def __init__(
        self,
        name: str,
        inputs: Iterable[Value],
        outputs: Iterable[Value],
        nodes: Iterable[Node],
        draws: Iterable[tuple[Any, int]] = (),
        guards: Any = (),
    ) -> None:
        self.name = name
        self.inputs = tuple(inputs)
        self.outputs = tuple(outputs)
        self.nodes = tuple(nodes)
        self.draws = tuple(draws)
        self.guards = guards

    def uses(self) -> dict[Value, list[Node]]:
        """Return per value the nodes that take it, once for each time they do."""
        found: dict[Value, list[Node]] = {value: [] for node in self.nodes for value in node.outputs}
        for node in self.nodes:
            for value in node.values:
                found[value].append(node)
        return found

    def variables(self) -> list[Any]:
        """Return the Variables that it reads or assigns, each once."""
        return list(dict.fromkeys(node.attrs["variable"] for node in self.nodes if "variable" in node.attrs))

    def to_dot(self) -> str:
        """Return it in the language of Graphviz, which makes a picture of it: see `eagerflow.capture.dot`."""
        return to_dot(self)

    def __len__(self) -> int:
        return len(self.nodes)

    def __str__(self) -> str:
        return to_text(self)

    def __repr__(self) -> str:
        return f"<Graph {self.name}: {len(self.nodes)} nodes>"


class Rewriter:
    """Makes a new graph out of an old one, node by node.

    Examples
    --------
    A pass that drops what it does not need::

        rewriter = Rewriter(graph)
        for node in graph.nodes:
            if wanted(node):
                rewriter.keep(node)
        return rewriter.graph()
    """

    def __init__(self, graph: Graph) -> None:
        self.old = graph
        self.nodes: list[Node] = []
        self._values: dict[Value, Any] = {}
        self._nodes: dict[Node, tuple[Node, ...]] = {}

    def now(self, value: Any) -> Any:
        """Return what stands for an input of an old node in the new graph."""
        return self._values.get(value, value) if isinstance(value, Value) else value

    def inputs(self, node: Node) -> tuple[Any, ...]:
        """Return the inputs of an old node in the new graph."""
        return tuple([self.now(x) for x in node.inputs])

    def control(self, node: Node) -> tuple[Node, ...]:
        """Return the control edges of an old node in the new graph: where a node went, what it waited for."""
        return tuple(dict.fromkeys(new for old in node.control for new in self._nodes.get(old, (old,))))

    def keep(self, node: Node) -> Node:
        """Take over a node; a copy where something before it changed."""
        inputs, control = self.inputs(node), self.control(node)
        if all(a is b for a, b in zip(inputs, node.inputs, strict=True)) and control == node.control:
            self.nodes.append(node)
            return node
        made = node.replaced(inputs, control)
        self.add(made)
        self.replace(node, made.outputs, made)
        return made

    def add(self, node: Node) -> Node:
        """Add a new node."""
        self.nodes.append(node)
        return node

    def replace(self, node: Node, values: Iterable[Any], by: Node | None = None) -> None:
        """Let `values` stand for the results of an old node; `by` for the node itself in control edges.

        Without `by` whoever waited for the node waits for what it waited for.
        """
        for old, new in zip(node.outputs, values, strict=True):
            self._values[old] = new
        self._nodes[node] = self.control(node) if by is None else (by,)

    def drop(self, node: Node) -> None:
        """Leave a node out that nothing uses."""
        self._nodes[node] = self.control(node)

    def graph(self) -> Graph:
        """Return the new graph."""
        old = self.old
        inputs, outputs = [self.now(x) for x in old.inputs], [self.now(x) for x in old.outputs]
        return Graph(old.name, inputs, outputs, self.nodes, old.draws, old.guards)


def needed_for(values: Iterable[Value], nodes: Iterable[Node] = ()) -> set[Node]:
    """Return the nodes that values need, and some nodes with what they need; control edges do not count."""
    needed: set[Node] = set()
    stack = [*[value.node for value in values], *nodes]
    while stack:
        node = stack.pop()
        if node not in needed:
            needed.add(node)
            stack.extend([value.node for value in node.values])
    return needed


def only(graph: Graph, wanted: set[Node]) -> Graph:
    """Return a graph with the wanted nodes only; what waited for others waits for what these waited for."""
    rewriter = Rewriter(graph)
    for node in graph.nodes:
        if node in wanted:
            rewriter.keep(node)
        else:
            rewriter.drop(node)
    return rewriter.graph()
