"""From an op's scalar expression to typed source: every step in the dtype in which NumPy would do it."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from eagerflow.capture.graph import Node, Value
from eagerflow.capture.kernels.scalar_math import BOOLEAN, REAL, SAME
from eagerflow.core.dims import Symbolic
from eagerflow.core.spec import Spec

DTYPES = frozenset(np.dtype(name) for name in (
    "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64",
))  # fmt: skip
# Of 16 bits: computed in float32 on devices other than the host, where NumPy's own are left alone.
SHORT = frozenset(("float16", "bfloat16"))
CONSTANTS = {"inf": math.inf, "nan": math.nan, "pi": math.pi, "e": math.e}
BOOL = np.dtype(bool)

# Per node of the syntax tree: how it is written, and for which kinds of dtype it is what NumPy computes.
_BINARY: dict[type[ast.operator], tuple[str, str]] = {
    ast.Add: ("+", "iuf"), ast.Sub: ("-", "iuf"), ast.Mult: ("*", "iuf"), ast.Div: ("/", "f"),
    ast.BitAnd: ("&", "biu"), ast.BitOr: ("|", "biu"), ast.BitXor: ("^", "biu"),
}  # fmt: skip
_OF_BOOLEANS: dict[type[ast.operator], str] = {ast.Add: "|", ast.Mult: "&"}
_COMPARE: dict[type[ast.cmpop], str] = {
    ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!=",
}  # fmt: skip


def literal(value: Any, dtype: np.dtype[Any]) -> str:
    """Return a number as source that has the dtype."""
    if isinstance(value, float | np.floating) and not math.isfinite(value):
        return f"{dtype}(np.nan)" if math.isnan(value) else f"{'-' if value < 0 else ''}{dtype}(np.inf)"
    plain = value if isinstance(value, Symbolic) else value.item() if isinstance(value, np.generic) else value
    return f"{dtype}({plain!r})"


class NotFusible(Exception):
    """An expression, or a dtype in it, that kernels do not compute as NumPy does."""


class Text:
    """Source of one value.

    Attributes
    ----------
    source : str
        A name, a literal or an expression in parentheses.
    dtype : numpy.dtype
        What it gives.
    """

    __slots__ = ("dtype", "source")

    def __init__(self, source: str, dtype: np.dtype[Any]) -> None:
        self.source = source
        self.dtype = dtype


def fits(node: Node, kind: str) -> bool:
    """Tell whether kernels can compute a node: its dtypes, and what it computes of an element."""
    if not node.outputs[0].device.on_host:
        node = widened(node)
    values = [*node.values, *node.outputs]
    if any(value.dtype not in DTYPES for value in values):
        return False
    if kind == "reduction":
        return node.op.name in ("any", "all", "count_nonzero", "max", "min") or node.outputs[0].dtype.kind in "iuf"
    if kind != "elementwise":
        return True
    inputs = tuple([x.dtype if isinstance(x, Value) else (type(x), str(x)) for x in node.inputs])
    form = (node.op.name, node.op.scalar, inputs, node.outputs[0].dtype, str(node.attrs) if node.attrs else "")
    known = _fitting.get(form)
    if known is None:
        texts = [Text(f"x{i}", x.dtype) if isinstance(x, Value) else x for i, x in enumerate(node.inputs)]
        try:
            translate(node, texts, Writer())
            known = True
        except NotFusible:
            known = False
        _fitting[form] = known
    return known


_fitting: dict[Any, bool] = {}


def widened(node: Node) -> Node:
    """Return a node as it is computed for numbers of 16 bits: the same of float32, to be rounded once; or itself."""
    strong = {x.dtype for x in node.values}
    short = [x.dtype for x in (*node.values, *node.outputs) if x.dtype.name in SHORT]
    if not short:
        return node

    def wide(x: Value) -> tuple[Spec, Any]:
        return Spec(x.shape, np.dtype(np.float32) if x.dtype.name in SHORT else x.dtype), x.device

    def item(x: Any) -> Any:
        if isinstance(x, Value):
            return Node(x.node.op, (), {}, [wide(x)]).outputs[0]
        # Beside short numbers only, a Python number is rounded to what they are.
        return float(np.asarray(x).astype(short[0])) if type(x) is float and strong == {short[0]} else x

    return Node(node.op, [item(x) for x in node.inputs], node.attrs, [wide(x) for x in node.outputs])


class Writer:
    """Takes the statements of one loop body.

    Parameters
    ----------
    number : callable, optional
        Gives the source of a number in a dtype.
    """

    def __init__(self, number: Callable[[Any, np.dtype[Any]], str] | None = None) -> None:
        self.lines: list[str] = []
        self.functions: set[str] = set()
        self.count = 0
        self.literal = number or literal

    def name(self, source: str) -> str:
        """Give an expression a name, so that it is computed once."""
        if source.isidentifier():
            return source
        self.count += 1
        self.lines.append(f"t{self.count} = {source}")
        return f"t{self.count}"


def translate(node: Node, inputs: list[Any], writer: Writer) -> Text:
    """Write what an elementwise node computes of one element.

    Parameters
    ----------
    node : Node
        Its op has a scalar expression.
    inputs : list
        A `Text` each, or a Python number, or None.
    writer : Writer
        Takes statements that come before.

    Returns
    -------
    Text
        The result, in the dtype of the node's output.

    Raises
    ------
    NotFusible
        The expression, for these dtypes, is not one that kernels compute as NumPy does.
    """
    given = dict(zip(node.op.inputs, inputs, strict=False))
    if len(given) != len(inputs):
        raise NotFusible(f"{node.op.name} takes any number of inputs")
    result = node.outputs[0].dtype
    tree = parsed(node.op.scalar)
    compute = _compute_dtype(given, result, conditions(node.op.scalar))
    scope = {**{name: value for name, value in node.attrs.items() if not isinstance(value, Symbolic)}, **given}
    made = _Translator(scope, compute, writer, conditions(node.op.scalar)).of(tree)
    return cast(made, result)


@cache
def parsed(scalar: str) -> ast.expr:
    """Return the syntax tree of a scalar expression."""
    return ast.parse(scalar.strip(), mode="eval").body


def cast(text: Text, dtype: np.dtype[Any]) -> Text:
    """Convert, where the dtype is another."""
    if text.dtype == dtype:
        return text
    if dtype == BOOL:
        return Text(f"({text.source} != {text.dtype}(0))", BOOL)
    if text.dtype.kind == "f" and dtype.kind in "iu":
        raise NotFusible("what NumPy makes of floating-point numbers outside an integer's range is its own")
    return Text(f"{dtype}({text.source})", dtype)


@cache
def conditions(scalar: str) -> frozenset[str]:
    """Return the names that are only asked whether they hold: they need no common dtype with the others."""
    asked, used = set(), []
    for item in ast.walk(parsed(scalar)):
        test = None
        if isinstance(item, ast.IfExp):
            test = item.test
        elif isinstance(item, ast.Call) and isinstance(item.func, ast.Name) and item.func.id == "where":
            test = item.args[0]
        if isinstance(test, ast.Name):
            asked.add(test.id)
        if isinstance(item, ast.Name):
            used.append(item.id)
    return frozenset(name for name in asked if used.count(name) == 1)


def _compute_dtype(given: dict[str, Any], result: np.dtype[Any], asked: frozenset[str]) -> np.dtype[Any]:
    """Return the dtype in which the inputs come."""
    taking_part = [x for name, x in given.items() if name not in asked and x is not None]
    weak = [0 if isinstance(x, Symbolic) else x for x in taking_part if not isinstance(x, Text)]
    if any(isinstance(x, complex) for x in weak):
        raise NotFusible("a complex number")
    strong = [x.dtype for x in taking_part if isinstance(x, Text)]
    dtype = np.result_type(*strong, *weak) if strong else result
    if np.dtype(np.uint64) in strong and any(item.kind == "i" for item in strong):
        raise NotFusible("NumPy compares unsigned and signed integers exactly")
    if result.kind == "f" and dtype.kind in "biu":
        dtype = result
    if dtype not in DTYPES:
        raise NotFusible(f"computed in {dtype}")
    if dtype.kind in "iu":
        bounds = np.iinfo(dtype)
        if any(type(x) is int and not bounds.min <= x <= bounds.max for x in weak):
            raise NotFusible(f"a number outside the range of {dtype}")
    return dtype


class _Translator:
    """Walks the syntax tree of one expression."""

    def __init__(self, scope: dict[str, Any], dtype: np.dtype[Any], writer: Writer, conditions: frozenset[str]) -> None:
        self.scope = scope
        self.dtype = dtype
        self.writer = writer
        self.conditions = conditions

    def of(self, item: ast.expr) -> Text:
        """Return the text of an expression, in the dtype of the computation or boolean."""
        method = getattr(self, f"_{type(item).__name__.lower()}", None)
        if method is None:
            raise NotFusible(f"{type(item).__name__} in a scalar expression")
        text: Text = method(item)
        return text

    def number(self, item: ast.expr) -> Text:
        """Return it in the dtype of the computation."""
        return cast(self.of(item), self.dtype)

    def truth(self, item: ast.expr) -> Text:
        """Return whether it holds."""
        return cast(self.of(item), BOOL)

    def _literal(self, value: Any) -> Text:
        if isinstance(value, Symbolic):
            return Text(self.writer.literal(value, self.dtype), self.dtype)
        if isinstance(value, bool | np.bool_) and self.dtype == BOOL:
            return Text(repr(bool(value)), BOOL)
        if isinstance(value, bool | int | float | np.integer | np.floating | np.bool_):
            return Text(self.writer.literal(value, self.dtype), self.dtype)
        raise NotFusible(f"{value!r} in a scalar expression")

    def _constant(self, item: ast.Constant) -> Text:
        return self._written(item.value)

    def _written(self, value: Any) -> Text:
        """Return a number that stands in the expression itself."""
        if self.dtype == BOOL:
            return Text(repr(bool(value)), BOOL)
        return Text(literal(value, self.dtype), self.dtype)

    def _name(self, item: ast.Name) -> Text:
        if item.id not in self.scope:
            if item.id not in CONSTANTS:
                raise NotFusible(f"{item.id} in a scalar expression")
            return self._written(CONSTANTS[item.id])
        value = self.scope[item.id]
        if not isinstance(value, Text):
            return self._literal(value)
        return cast(value, BOOL if item.id in self.conditions else self.dtype)

    def _binop(self, item: ast.BinOp) -> Text:
        operation = type(item.op)
        if isinstance(item.op, ast.Pow):
            return self._power(item)
        left, right = self.number(item.left), self.number(item.right)
        if self.dtype == BOOL and operation in _OF_BOOLEANS:
            return Text(f"({left.source} {_OF_BOOLEANS[operation]} {right.source})", BOOL)
        sign, kinds = _BINARY.get(operation, ("", ""))
        if self.dtype.kind not in kinds:
            raise NotFusible(f"{operation.__name__} of {self.dtype}")
        return self._kept(f"({left.source} {sign} {right.source})")

    def _kept(self, source: str) -> Text:
        """Compiled code widens small integers; NumPy does not."""
        return Text(source if self.dtype.kind in "bf" else f"{self.dtype}{source}", self.dtype)

    def _power(self, item: ast.BinOp) -> Text:
        exponent = self.scope.get(item.right.id) if isinstance(item.right, ast.Name) else None
        if isinstance(item.right, ast.Constant):
            exponent = item.right.value
        if self.dtype.kind == "f" and isinstance(exponent, int | float):
            return self._constant_power(self.writer.name(self.number(item.left).source), exponent)
        raise NotFusible("a power")

    def _constant_power(self, x: str, exponent: float) -> Text:
        """Powers for which NumPy itself takes another way."""
        if exponent == 2:
            return Text(f"({x} * {x})", self.dtype)
        if exponent == 1:
            return Text(x, self.dtype)
        if exponent == -1:
            return Text(f"({literal(1, self.dtype)} / {x})", self.dtype)
        if exponent == 0.5:
            return self._named_call("sqrt", [x])
        raise NotFusible("a power")

    def _unaryop(self, item: ast.UnaryOp) -> Text:
        if isinstance(item.op, ast.Not):
            return Text(f"(not {self.truth(item.operand).source})", BOOL)
        if isinstance(item.op, ast.USub) and isinstance(item.operand, ast.Constant):
            return self._written(-item.operand.value)  # type: ignore[operator]
        x = self.number(item.operand)
        if isinstance(item.op, ast.Invert) and self.dtype == BOOL:
            return Text(f"(not {x.source})", BOOL)
        sign = {ast.USub: "-", ast.Invert: "~", ast.UAdd: "+"}[type(item.op)]
        if self.dtype.kind not in ("iu" if sign == "~" else "iuf"):
            raise NotFusible(f"{sign} of {self.dtype}")
        return self._kept(f"({sign}{x.source})")

    def _compare(self, item: ast.Compare) -> Text:
        terms = [self.number(term).source for term in (item.left, *item.comparators)]
        signs = [_COMPARE.get(type(op)) for op in item.ops]
        if None in signs:
            raise NotFusible("a comparison")
        parts = [f"({a} {sign} {b})" for a, sign, b in zip(terms, signs, terms[1:], strict=False)]
        return Text(parts[0] if len(parts) == 1 else f"({' & '.join(parts)})", BOOL)

    def _boolop(self, item: ast.BoolOp) -> Text:
        sign = " & " if isinstance(item.op, ast.And) else " | "
        return Text(f"({sign.join(self.truth(value).source for value in item.values)})", BOOL)

    def _ifexp(self, item: ast.IfExp) -> Text:
        return self._choice(item.test, item.body, item.orelse)

    def _choice(self, test: ast.expr, yes: ast.expr, no: ast.expr) -> Text:
        self.writer.functions.add("where")  # both sides are computed, and one is selected without a branch
        condition, a, b = self.truth(test), self.number(yes), self.number(no)
        return Text(f"where({condition.source}, {a.source}, {b.source})", self.dtype)

    def _call(self, item: ast.Call) -> Text:
        if not isinstance(item.func, ast.Name) or item.keywords:
            raise NotFusible("a call in a scalar expression")
        name, arguments = item.func.id, item.args
        if name == "where":
            return self._choice(*arguments)
        real = self.dtype.kind == "f"
        if not (name in BOOLEAN or (name in SAME and self.dtype != BOOL) or (name in REAL and real)):
            raise NotFusible(f"{name} of {self.dtype}")
        return self._named_call(name, [self.number(argument).source for argument in arguments])

    def _named_call(self, name: str, arguments: list[str]) -> Text:
        self.writer.functions.add(name)
        dtype = BOOL if name in BOOLEAN else self.dtype
        return Text(f"{name}({', '.join(arguments)})", dtype)
