"""Strategies: random programs over the library's operations, as Python source that runs by itself."""

from __future__ import annotations

import linecache
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import strategies as st

import eagerflow as ef

# Lengths are names ("n", which a test may change from call to call) or digits.
Shape = tuple[str, ...]


@dataclass
class Program:
    """A program: its source, and the shapes and dtypes of what it takes.

    Its representation is a script that can be run.
    """

    source: str
    inputs: dict[str, tuple[Shape, str]]
    variables: dict[str, Shape]
    dtype: str
    exact: bool
    lines: list[str] = field(default_factory=list)

    def arrays(self, seed: int, n: int) -> list[np.ndarray]:
        """Return arguments: floats that are multiples of 1/4, so that sums and products of a few are exact."""
        rng = np.random.default_rng(seed)
        found: list[np.ndarray] = []
        for shape, dtype in self.inputs.values():
            lengths = [n if side == "n" else int(side) for side in shape]
            if dtype == "bool":
                found.append(rng.integers(0, 2, lengths).astype(bool))
            elif dtype == "int64":
                found.append(rng.integers(-4, 5, lengths))
            else:
                found.append((rng.integers(-8, 9, lengths) / 4).astype(dtype))
        return found

    def start(self) -> dict[str, np.ndarray]:
        """Return the first values of the Variables."""
        return {
            name: (
                np.arange(np.prod([int(side) for side in shape], dtype=int)).reshape([int(s) for s in shape]) / 4 - 0.5
            )
            for name, shape in self.variables.items()
        }

    def make(self) -> tuple[Callable[..., Any], dict[str, ef.Variable]]:
        """Return the function and its Variables."""
        variables = {name: ef.Variable(value, name=name) for name, value in self.start().items()}
        space: dict[str, Any] = {"ef": ef, "np": np, **variables, **constants()}
        linecache.cache["<program>"] = (len(self.source), None, self.source.splitlines(keepends=True), "<program>")
        exec(compile(self.source, "<program>", "exec"), space)
        return space["f"], variables

    def __repr__(self) -> str:
        head = ["", "import numpy as np", "import eagerflow as ef"]
        head += [f"{name} = ef.Variable(np.array({value.tolist()}))" for name, value in self.start().items()]
        head += ["c0, c1 = ef.asarray([[0.5, -1.0, 2.0]]), np.array([1.0, 0.25, -0.5])"]
        calls = [f"np.array({a.tolist()}, {str(a.dtype)!r})" for a in self.arrays(0, 3)]
        return "\n".join([*head, self.source, f"print(f({', '.join(calls)}), ef.function(f)({', '.join(calls)}))", ""])

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """Let hypothesis print the script, and not the fields."""
        printer.text(repr(self))


def constants() -> dict[str, Any]:
    """Return what programs read besides their arguments."""
    return {"c0": ef.asarray([[0.5, -1.0, 2.0]]), "c1": np.array([1.0, 0.25, -0.5])}


@dataclass
class Name:
    """What is known of a value: shape, kind of dtype, whether arithmetic was exact, and a bound of its bits."""

    text: str
    shape: Shape
    kind: str  # f, i or b
    exact: bool
    bits: int  # the absolute value is below two to this
    handle: bool = False  # made here, and free to be assigned to


class Writer:
    """Writes one program, choosing by `draw`."""

    def __init__(self, draw: Any, names: list[Name], variables: dict[str, Shape], tape: bool) -> None:
        self.draw = draw
        self.names = names
        self.variables = variables
        self.lines: list[str] = []
        self.count = 0
        self.indent = "    "
        self.tape = tape

    def pick(self, options: Sequence[Any]) -> Any:
        return self.draw(st.sampled_from(options))

    def flag(self) -> bool:
        return bool(self.draw(st.booleans()))

    def some(self, test: Callable[[Name], bool]) -> Name | None:
        """Return a value that passes the test; late ones more often."""
        fits = [name for name in self.names if test(name)]
        if not fits:
            return None
        # From the last ones mostly: chains of values that come and go are what buffers are used again for.
        return self.pick(fits[-3:] if self.draw(st.integers(0, 3)) else fits)

    def emit(self, line: str) -> None:
        self.lines.append(self.indent + line)

    def let(self, text: str, shape: Shape, kind: str, exact: bool, bits: int, handle: bool = True) -> None:
        name = f"v{self.count}"
        self.count += 1
        self.emit(f"{name} = {text}")
        self.names.append(Name(name, shape, kind, exact and bits <= 20, bits, handle))

    # --- statements -------------------------------------------------------------------------------

    def statement(self) -> None:
        kinds = [self.binary, self.binary, self.smooth, self.unary, self.view, self.view, self.reduce, self.product,
                 self.product, self.smooth, self.reduce, self.write, self.write, self.choose, self.join, self.gather,
                 self.integers, self.constant]  # fmt: skip
        if self.variables:
            kinds += [self.read, self.assign, self.assign]
        if self.flag():
            kinds.append(self.random)
        self.pick(kinds)()

    def two(self, most: int = 10) -> tuple[Name, Name, Shape] | None:
        """Return two floats whose shapes broadcast, and the shape of both."""
        a = self.some(lambda x: x.kind == "f" and x.bits <= most)
        if a is None:
            return None
        b = self.some(lambda x: x.kind == "f" and x.bits <= most and joint(a.shape, x.shape) is not None and x is not a)
        b = b or a
        shape = joint(a.shape, b.shape)
        assert shape is not None
        return a, b, shape

    def binary(self) -> None:
        found = self.two()
        if found is None:
            return
        a, b, shape = found
        op = self.pick(["+", "-", "*", "maximum", "minimum", "scalar"])
        exact = a.exact and b.exact
        if op in "+-":
            self.let(f"{a.text} {op} {b.text}", shape, "f", exact, max(a.bits, b.bits) + 1)
        elif op == "*":
            self.let(f"{a.text} * {b.text}", shape, "f", exact, a.bits + b.bits)
        elif op == "scalar":
            text = self.pick(
                ["{} * 2", "{} + 0.5", "1 - {}", "{} * 1", "{} ** 2", "{} / 2", "0 * {}", "-{}", "{} ** 1"]
            )
            self.let(text.format(a.text), a.shape, "f", a.exact, 2 * a.bits + 2)
        elif exact:
            self.let(f"ef.{op}({a.text}, {b.text})", shape, "f", True, max(a.bits, b.bits))

    def smooth(self) -> None:
        a = self.some(lambda x: x.kind == "f" and x.bits <= 12)
        if a is None:
            return
        text, bits = self.pick([
            ("ef.tanh({})", 0), ("ef.exp(-abs({}))", 0), ("ef.sqrt({0} * {0} + 1)", a.bits + 1), ("np.sin({})", 0),
            ("{0} / (1 + abs({0}))", 0), ("ef.log1p(abs({}))", 5), ("ef.nn.sigmoid({})", 0), ("ef.nn.relu({})", a.bits),
        ])  # fmt: skip
        if "relu" in text and not a.exact:
            return
        self.let(text.format(a.text), a.shape, "f", False, bits + 1)

    def unary(self) -> None:
        a = self.some(lambda x: x.kind == "f" and x.exact)
        if a is None:
            return
        text, kind = self.pick([("abs({})", "f"), ("ef.sign({})", "f"), ("ef.floor({})", "f"), ("{} > 0", "b"),
                                ("{0} == {0}", "b"), ("({}).astype('int64')", "i")])  # fmt: skip
        self.let(text.format(a.text), a.shape, kind, True, a.bits)

    def view(self) -> None:
        a = self.some(lambda x: len(x.shape) > 0)
        if a is None:
            return
        rows = a.shape[0] != "1"
        options: list[tuple[str, Shape]] = [
            ("{}.T", a.shape[::-1]), ("{}[::-1]", a.shape), ("{}[..., None]", (*a.shape, "1")),
            ("{}[None]", ("1", *a.shape)),
            ("{}.reshape(-1)", (product(a.shape),)), ("{}[0]", a.shape[1:]), ("{}[-1]", a.shape[1:]),
            ("ef.positive({})" if a.kind == "f" else "{}[:]", a.shape), ("ef.flip({}, axis=-1)", a.shape),
            ("{}.copy()", a.shape),
        ]  # fmt: skip
        if rows:
            options.append(("{}[1:]", (f"({a.shape[0]}-1)", *a.shape[1:])))
            options.append(("{}[:2]" if a.shape[0] in ("n", "2", "3", "4") else "{}[:1]",
                            ("2" if a.shape[0] in ("n", "2", "3", "4") else "1", *a.shape[1:])))  # fmt: skip
        if len(a.shape) < 4:
            text, shape = self.pick(options)
            self.let(text.format(a.text), shape, a.kind, a.exact, a.bits, handle=not text.endswith("[:]"))

    def reduce(self) -> None:
        a = self.some(lambda x: x.kind in "fi" and len(x.shape) > 0 and x.bits <= 12)
        if a is None:
            return
        axis = self.pick([None, 0, -1])
        keep = self.flag()
        rest = () if axis is None else a.shape[1:] if axis == 0 else a.shape[:-1]
        ones = (
            tuple("1" for _ in a.shape) if axis is None else ("1", *a.shape[1:]) if axis == 0 else (*a.shape[:-1], "1")
        )
        shape = ones if keep else rest
        op = self.pick(["sum", "sum", "mean", "max", "min", "cumulative_sum", "softmax", "argmax"])
        given = f"{a.text}, axis={axis}, keepdims={keep}"
        if op == "sum":
            self.let(f"ef.sum({given})", shape, a.kind, a.exact, a.bits + 6)
        elif op == "mean" and a.kind == "f":
            self.let(f"ef.mean({given})", shape, "f", False, a.bits)
        elif op in ("max", "min") and a.exact:
            self.let(f"ef.{op}({given})", shape, a.kind, True, a.bits)
        elif op == "argmax" and a.exact and axis is not None:
            self.let(f"ef.argmax({given})", shape, "i", True, 4)
        elif op == "cumulative_sum" and a.kind == "f":
            self.let(f"ef.cumulative_sum({a.text}, axis={axis or 0})" if axis is not None else
                     f"ef.cumulative_sum({a.text}.reshape(-1))",
                     a.shape if axis is not None else (product(a.shape),), "f", a.exact, a.bits + 6)  # fmt: skip
        elif op == "softmax" and a.kind == "f" and axis is not None:
            self.let(f"ef.nn.softmax({a.text}, axis={axis})", a.shape, "f", False, 1)

    def product(self) -> None:
        a = self.some(lambda x: x.kind == "f" and len(x.shape) in (1, 2) and x.bits <= 5)
        if a is None:
            return
        b = self.some(lambda x: x.kind == "f" and len(x.shape) == 2 and x.bits <= 5 and x.shape[0] == a.shape[-1])
        if b is not None and self.flag():
            self.let(f"{a.text} @ {b.text}", (*a.shape[:-1], b.shape[1]), "f", a.exact and b.exact, a.bits + b.bits + 4)
            return
        c = self.some(lambda x: x.kind == "f" and len(x.shape) == 2 and x.bits <= 5 and x.shape[1] == a.shape[-1])
        if c is not None:
            self.let(
                f"{a.text} @ {c.text}.T", (*a.shape[:-1], c.shape[0]), "f", a.exact and c.exact, a.bits + c.bits + 4
            )

    def write(self) -> None:
        """Assign to a part of a value, or change it in place, as NumPy code does."""
        a = self.some(lambda x: x.handle and x.kind == "f" and x.bits <= 10)
        if a is None:
            return
        form = self.pick(["item", "part", "value", "add", "scale", "keep"])
        if form == "keep":
            self.let(a.text, a.shape, "f", a.exact, a.bits, handle=False)  # another name of the same handle
            a.handle = False
        elif form == "scale":
            self.emit(f"{a.text} *= {self.pick(['2', '0.5', '-1'])}")
            a.bits += 1
        elif form == "item" and a.shape:
            self.emit(f"{a.text}[{self.pick(['0', '-1', '..., 0', ':1', '::2'])}] = {self.pick(['0.5', '-2', '1'])}")
            a.bits = max(a.bits, 2)
        else:
            test: Callable[[Name], bool] = lambda x: x.kind == "f" and x.bits <= 10  # noqa: E731
            if form == "part" and a.shape:
                b = self.some(lambda x: test(x) and joint(a.shape[1:], x.shape) == a.shape[1:])
                target = f"{a.text}[{self.pick(['0', '-1'])}] = "
            else:
                b = self.some(lambda x: test(x) and joint(a.shape, x.shape) == a.shape)
                target = f"{a.text} {self.pick(['+', '-'])}= " if form == "add" else f"{a.text}[...] = "
            if b is None:
                return
            self.emit(f"{target}{b.text}")
            a.bits, a.exact = max(a.bits, b.bits) + 1, a.exact and b.exact

    def choose(self) -> None:
        found = self.two(20)
        if found is None:
            return
        a, b, shape = found
        c = self.some(lambda x: x.kind == "b" and joint(shape, x.shape) == shape)
        exact = a.exact and b.exact
        if c is not None:
            self.let(f"ef.where({c.text}, {a.text}, {b.text})", shape, "f", exact, max(a.bits, b.bits))
        elif exact:
            self.let(f"{a.text} < {b.text}", shape, "b", True, 1)

    def join(self) -> None:
        a = self.some(lambda x: x.kind == "f" and 0 < len(x.shape) < 3)
        b = a and self.some(lambda x: x.kind == "f" and x.shape == a.shape)
        if a is None or b is None:
            return
        bits, exact = max(a.bits, b.bits), a.exact and b.exact
        form = self.pick(["concat", "stack", "list"])
        if form == "concat":
            self.let(f"ef.concat([{a.text}, {b.text}])", (f"(2*{a.shape[0]})", *a.shape[1:]), "f", exact, bits)
        elif form == "stack":
            self.let(f"ef.stack([{a.text}, {b.text}], axis=-1)", (*a.shape, "2"), "f", exact, bits)
        else:
            self.let(f"np.stack([{b.text}, {a.text}])", ("2", *a.shape), "f", exact, bits)

    def gather(self) -> None:
        index = self.some(lambda x: x.kind == "i" and len(x.shape) == 1)
        a = self.some(lambda x: x.kind == "f" and len(x.shape) in (1, 2) and x.shape[0] in ("n", "2", "3", "4"))
        if index is None or a is None:
            return
        text = self.pick(["{0}[{1} % 2]", "ef.take({0}, {1} % 2, axis=0)"])
        self.let(text.format(a.text, index.text), (index.shape[0], *a.shape[1:]), "f", a.exact, a.bits)

    def integers(self) -> None:
        a = self.some(lambda x: x.kind == "i" and x.bits <= 8)
        if a is None:
            return
        text, kind = self.pick([("{} + 3", "i"), ("{} * {}", "i"), ("{} // 2", "i"), ("{} % 3", "i"), ("{} & 5", "i"),
                                ("{} > 0", "b"), ("({}).astype('float64')", "f")])  # fmt: skip
        self.let(text.format(a.text, a.text), a.shape, kind, True, 2 * a.bits + 2)

    def constant(self) -> None:
        text, shape = self.pick([
            ("c0 * 1", ("1", "3")), ("ef.ones((2, 3))", ("2", "3")), ("ef.asarray(c1)", ("3",)), ("c0", ("1", "3")),
            ("ef.arange(3.0)", ("3",)), ("ef.zeros(3)", ("3",)), ("ef.asarray(0.5)", ()),
        ])  # fmt: skip
        self.let(text, shape, "f", True, 3, handle=text != "c0")

    def random(self) -> None:
        text, shape = self.pick([
            ("ef.random.uniform(size=(2, 3))", ("2", "3")), ("ef.random.normal(size=3)", ("3",)),
            ("ef.random.uniform()", ()),
        ])  # fmt: skip
        self.let(text, shape, "f", False, 3)

    # --- Variables --------------------------------------------------------------------------------

    def read(self) -> None:
        name = self.pick(sorted(self.variables))
        text = self.pick(["{}.value", "{} * 2", "{} + 0", "ef.tanh({})", "{}[::-1]"])
        self.let(text.format(name), self.variables[name], "f", False, 8, handle=text != "{}.value")

    def assign(self) -> None:
        name = self.pick(sorted(self.variables))
        shape = self.variables[name]
        form = self.pick(["assign", "assign", "update", "step", "item", "swap"])
        if form == "step":  # an optimizer's update: in place where nothing else sees the old value
            self.emit(f"{name}.assign({name} * 0.5 + {self.pick(['0.25', '1', name])})")
        elif form == "item":
            self.emit(f"{name}[{self.pick(['0', '-1', '...'])}] = {self.pick(['0.5', '1.0'])}")
        elif form == "swap":
            others = [other for other, its in sorted(self.variables.items()) if its == shape and other != name]
            if others:
                self.let(f"{name}.value", shape, "f", False, 8, handle=False)
                self.emit(f"{name}.assign({others[0]})")
                self.emit(f"{others[0]}.assign({self.names[-1].text})")
        elif form == "update":
            self.emit(f"{name}.{self.pick(['assign_add', 'assign_sub'])}({self.pick(['0.5', '1'])})")
        else:
            a = self.some(lambda x: x.kind == "f" and x.shape == shape and x.bits <= 7)
            if a is not None:
                self.emit(f"{name}.assign(ef.tanh({a.text}))" if self.flag() else f"{name}.assign({a.text} * 0.5)")

    # --- tapes ------------------------------------------------------------------------------------

    def with_tape(self, count: int) -> None:
        """Write statements in a tape, and the gradient of one of the values."""
        sources = [name for name in self.names if name.kind == "f"][:2]
        self.emit("with ef.GradientTape() as tape:")
        self.indent = "        "
        first = self.count
        watched = []
        for name in sources:
            self.let(f"ef.positive({name.text})", name.shape, "f", name.exact, name.bits, handle=False)
            self.emit(f"tape.watch(v{self.count - 1})")
            watched.append(self.names[-1])
        for _ in range(count):
            self.statement()
        ends = [
            name
            for name in self.names
            if name.kind == "f" and name.text.startswith("v") and int(name.text[1:]) >= first
        ]
        end = ends[-1] if ends else watched[0]
        self.emit(f"loss = ef.sum(ef.tanh({end.text} / {2 ** max(end.bits, 0)}))")
        self.indent = "    "
        of = [*watched, *[Name(v, s, "f", False, 4) for v, s in self.variables.items()]]
        self.emit(f"grads = tape.gradient(loss, [{', '.join(x.text for x in of)}], unconnected='zero')")
        for i, x in enumerate(of):
            # Where values are close to kinks and to each other gradients may be large.
            self.let(f"ef.tanh(grads[{i}])", x.shape, "f", False, 1)


def joint(a: Shape, b: Shape) -> Shape | None:
    """Return the shape that two shapes broadcast to, or None."""
    long, short = (a, b) if len(a) >= len(b) else (b, a)
    sides = list(long)
    for i in range(1, len(short) + 1):
        if sides[-i] == "1":
            sides[-i] = short[-i]
        elif short[-i] not in ("1", sides[-i]):
            return None
    return tuple(sides)


def product(shape: Shape) -> str:
    """Return the number of elements."""
    sides = [side for side in shape if side != "1"]
    if all(side.isdigit() for side in sides):
        return str(int(np.prod([int(side) for side in sides], dtype=int)))
    return sides[0] if len(sides) == 1 else f"({'*'.join(sides)})"


@st.composite
def programs(draw: Any, most: int = 40, tape: bool | None = None, state: bool = True) -> Program:
    """Draw a program of 3 to `most` statements; with a tape inside or not, with Variables or not."""
    dtype = draw(st.sampled_from(["float64", "float64", "float32"]))
    shapes: list[Shape] = [("n", "3"), ("3",), ("2", "n"), ("n", "n"), (), ("1", "3"), ("n",)]
    inputs: dict[str, tuple[Shape, str]] = {}
    for i in range(draw(st.integers(1, 3))):
        inputs[f"x{i}"] = (draw(st.sampled_from(shapes)), dtype)
    inputs["i"] = (draw(st.sampled_from([("n",), ("2",), ("n", "3")])), "int64")
    inputs["b"] = (draw(st.sampled_from([("n", "3"), ("3",)])), "bool")
    variables: dict[str, Shape] = {}
    if state:
        variables = {
            f"u{i}": draw(st.sampled_from([("3",), ("3",), ("2", "3")])) for i in range(draw(st.integers(0, 2)))
        }
    names = [Name(name, shape, {"i": "i", "b": "b"}.get(name, "f"), True, 3) for name, (shape, _) in inputs.items()]
    inside = draw(st.booleans()) if tape is None else tape
    writer = Writer(draw, names, variables, inside)
    count = draw(st.integers(3, most))
    at = draw(st.integers(0, count)) if inside else -1
    for position in range(count):
        if position == at:
            writer.with_tape(draw(st.integers(1, 8)))
        writer.statement()
    results = draw(st.lists(st.sampled_from(writer.names), max_size=2))
    results += draw(st.lists(st.sampled_from(writer.names[-8:]), min_size=1, max_size=4))
    # The sum of all floats that were made in the second half sees whether each is right, long after some were used.
    late = [name.text for name in writer.names[len(writer.names) // 2 :] if name.kind == "f"]
    if late and draw(st.booleans()):
        writer.emit(f"total = {' + '.join(f'ef.sum(ef.tanh({text}))' for text in late)}")
        results.append(Name("total", (), "f", False, 4))
    texts = [name.text for name in [*results, writer.names[-1]]]
    form = draw(st.sampled_from(["[{0}]", "({0}, [{1}])", "{{'a': [{0}], 'b': ({1}, 2.5)}}"]))
    lines = [*writer.lines, "    return " + form.format(", ".join(texts), texts[0])]
    source = "\n".join([f"def f({', '.join(inputs)}):", *lines]) + "\n"
    return Program(source, inputs, variables, dtype, all(name.exact for name in results), writer.lines)
