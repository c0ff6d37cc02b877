"""Module: a pytree of Variables, named by the attributes that lead to them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, Self

import numpy as np
import optree

from eagerflow.core import ArrayMethods, Tensor, Variable, convert, default_dtype, is_inexact
from eagerflow.core.explain import describe, user_line
from eagerflow.errors import DTypeError, ShapeError
from eagerflow.ops.arrays.conversion import check_dtype
from eagerflow.ops.checked import integer

# The registry that everybody's tree functions use (the name has two underscores, which classes mangle).
_NAMESPACE = optree.registry.__GLOBAL_NAMESPACE


class Module:
    """Something with Variables that can be called: a layer, a block, a model.

    Subclass it, put Variables and other Modules into attributes (also within lists, tuples and
    dicts), and write `__call__`. There is nothing to register and no base to initialize.

    A Module is a pytree: `optree` functions, `eagerflow.grad` and their like see its Variables as
    leaves. What it maps them to takes their place in a Module of the same class, which computes with it.

    Attributes
    ----------
    training : bool
        Whether layers act as in training (Dropout drops, BatchNorm uses the batch). True at first;
        `train` and `eval` set it for a Module and all within.

    Examples
    --------
    >>> import eagerflow as ef
    >>> class Scale(ef.nn.Module):
    ...     def __init__(self):
    ...         self.factor = ef.Variable(2.0)
    ...     def __call__(self, x):
    ...         return x * self.factor
    >>> model = ef.nn.Sequential(Scale(), ef.tanh, Scale())
    >>> [name for name, variable in model.named_variables()]
    ['layers.0.factor', 'layers.2.factor']
    """

    training: bool = True

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        register: Any = optree.register_pytree_node  # its types ask for a Collection
        register(cls, _flatten, cls._unflatten, namespace=_NAMESPACE)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the result."""
        raise NotImplementedError(f"{type(self).__name__} does not define __call__")

    def named_variables(self) -> Iterator[tuple[str, Variable]]:
        """Yield the Variables with their names; one that several attributes share once, by its first name.

        Yields
        ------
        tuple of str and Variable
            The name is the path of attributes, list positions and dict keys, joined by dots.
        """
        seen: set[int] = set()
        for name, leaf in walk(self):
            if isinstance(leaf, Variable) and id(leaf) not in seen:
                seen.add(id(leaf))
                yield name, leaf

    @property
    def variables(self) -> list[Variable]:
        """All Variables, each once."""
        return [variable for _, variable in self.named_variables()]

    @property
    def trainable_variables(self) -> list[Variable]:
        """The Variables that tapes watch and optimizers change, each once."""
        return [variable for variable in self.variables if variable.trainable]

    def modules(self) -> Iterator[Module]:
        """Yield this Module and all within, each once."""
        seen: set[int] = set()
        stack: list[Any] = [self]
        while stack:
            item = stack.pop()
            if isinstance(item, Module):
                if id(item) in seen:
                    continue
                seen.add(id(item))
                yield item
            stack.extend(reversed([child for _, child in _children(item)]))

    def train(self, training: bool = True) -> Self:
        """Set `training` here and in all Modules within.

        Parameters
        ----------
        training : bool
            The mode.

        Returns
        -------
        Module
            Itself.
        """
        for module in self.modules():
            module.training = training
        return self

    def eval(self) -> Self:
        """Set `training` to False here and in all Modules within, and return itself."""
        return self.train(False)

    def __repr__(self) -> str:
        return "\n".join(_lines(self, ""))

    def _describe(self) -> str:
        """Return the arguments that the repr shows."""
        return ""

    @classmethod
    def _unflatten(cls, form: _Container, children: Iterable[Any]) -> Any:
        module = object.__new__(cls)
        vars(module).update(_fill(form, iter(children)))
        # Whatever took the place of the Variables, these stay the places of the children.
        vars(module)["_form"] = form
        return module


class _Fixed:
    """A part of a Module that is no child; equal to another if it is the same or compares equal."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Fixed):
            return False
        if self.value is other.value:
            return True
        try:
            return bool(self.value == other.value)
        except (ValueError, TypeError):
            return False

    def __hash__(self) -> int:
        return hash(type(self.value))


class _Container(NamedTuple):
    """The form of a list, tuple or dict (or the attributes of a Module) that holds children.

    Each part is a `_Container`, a `_Fixed`, or None where a child goes.
    """

    kind: type
    keys: tuple[Any, ...]
    parts: tuple[Any, ...]


def _flatten(module: Module) -> tuple[tuple[Any, ...], _Container, tuple[str, ...]]:
    attributes = {key: value for key, value in vars(module).items() if key != "_form"}
    known = vars(module).get("_form")
    children: dict[str, Any] = {}
    form = _split(OrderedDict(attributes), known, "", children)
    return tuple(children.values()), form, tuple(children)


def _split(value: Any, known: Any, path: str, children: dict[str, Any]) -> Any:
    """Return the form of `value`, and add its children by their paths."""
    items = _items(value)
    names = [f"{path}.{key}" if path else str(key) for key, _ in items]
    if isinstance(known, _Container) or not path:
        forms = dict(zip(known.keys, known.parts, strict=True)) if known is not None else {}
        parts = [
            _split(child, forms[key], name, children) if key in forms else _split_new(child, name, children)
            for (key, child), name in zip(items, names, strict=True)
        ]
        return _Container(type(value), tuple([key for key, _ in items]), tuple(parts))
    if known is None:
        children[path] = value
        return None
    return _Fixed(value)


def _split_new(value: Any, path: str, children: dict[str, Any]) -> Any:
    if isinstance(value, Variable | Module):
        children[path] = value
        return None
    if not _holds_variables(value):
        return _Fixed(value)
    return _split(value, _Container(type(value), (), ()), path, children)


def _fill(form: Any, children: Iterator[Any]) -> Any:
    if form is None:
        return next(children)
    if isinstance(form, _Fixed):
        return form.value
    parts = [_fill(part, children) for part in form.parts]
    if issubclass(form.kind, dict):
        return form.kind(zip(form.keys, parts, strict=True))
    return form.kind(*parts) if hasattr(form.kind, "_fields") else form.kind(parts)


def _holds_variables(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return any(_holds_variables(item) for item in value)
    if isinstance(value, dict):
        return any(_holds_variables(item) for item in value.values())
    return isinstance(value, Variable | Module)


def _items(value: Any) -> list[tuple[Any, Any]]:
    """Return what a container holds, with keys; of dicts in the order of tree functions, which sort them."""
    if isinstance(value, dict):
        keys = value if isinstance(value, OrderedDict) else optree.utils.total_order_sorted(value)
        return [(key, value[key]) for key in keys]
    return list(enumerate(value)) if isinstance(value, list | tuple) else []


def _children(item: Any) -> list[tuple[str, Any]]:
    if isinstance(item, Module):
        return [(key, child) for key, child in vars(item).items() if key != "_form"]
    return [(str(key), child) for key, child in _items(item)]


def walk(tree: Any, stop_at_named: bool = False) -> Iterator[tuple[str, Any]]:
    """Yield what a tree of Modules, lists, tuples and dicts holds at its ends, with the path to it.

    With `stop_at_named` whatever has a method `named_variables` (a Module, an optimizer) is an end.
    """
    stack: list[tuple[str, Any, tuple[int, ...]]] = [("", tree, ())]
    while stack:
        path, item, above = stack.pop()
        if id(item) in above:
            continue  # a Module that refers to one that holds it
        if not isinstance(item, Module | list | tuple | dict) or (stop_at_named and isinstance(item, Module)):
            yield path, item
            continue
        children = _children(item)
        within = (*above, id(item))
        stack.extend((f"{path}.{key}" if path else key, child, within) for key, child in reversed(children))


def count_parameters(module: Module) -> int:
    """Return the number of elements of the trainable Variables.

    Parameters
    ----------
    module : Module
        A layer or a model.

    Returns
    -------
    int
        Elements of Variables that are shared count once.

    Raises
    ------
    DTypeError
        It is no module.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.nn.count_parameters(ef.nn.Linear(3, 2))
    8
    """
    if not isinstance(module, Module):
        raise DTypeError(f"count_parameters: expected a Module, got {describe(module)}\n  at {user_line()}")
    return sum(variable.size for variable in module.trainable_variables)


def _lines(module: Module, indent: str) -> list[str]:
    count = sum(leaf.size for leaf in _distinct(module))
    counted = f"  # {count:,} parameters" if count else ""
    described = module._describe()
    inner: list[str] = []
    for key, child in _children(module):
        inner.extend(_nested(key, child, indent + "  "))
    head = type(module).__name__ if inner and not described else f"{type(module).__name__}({described})"
    return [head + counted, *inner]


def _distinct(module: Module) -> list[Any]:
    leaves = {id(leaf): leaf for _, leaf in walk(module) if isinstance(leaf, ArrayMethods)}
    return [leaf for leaf in leaves.values() if getattr(leaf, "trainable", True)]


def _nested(key: str, value: Any, indent: str) -> list[str]:
    if isinstance(value, Module):
        first, *rest = _lines(value, indent)
        return [f"{indent}{key}: {first}", *rest]
    if isinstance(value, list | tuple | dict) and any(isinstance(child, Module) for _, child in _children(value)):
        found = []
        for name, child in _children(value):
            if isinstance(child, Module):
                found.extend(_nested(f"{key}.{name}", child, indent))
            elif callable(child):
                found.append(f"{indent}{key}.{name}: {getattr(child, '__name__', repr(child))}")
        return found
    return []


def cast_input(x: Any, dtype: Any) -> Tensor:
    """Return `x` in the dtype of a layer; complex numbers stay as they are."""
    x = convert(x)
    return x if x.dtype == dtype or x.dtype.kind == "c" else x.astype(dtype)


def dtype_of(layer: str, dtype: Any) -> np.dtype[Any]:
    """Return the dtype of a layer's weights: the default one for None."""
    chosen = default_dtype() if dtype is None else check_dtype(dtype, layer)
    if not is_inexact(chosen):
        raise DTypeError(f"{layer}: expected a floating-point dtype, got {chosen}\n  at {user_line()}")
    return chosen


def size_of(layer: str, name: str, value: Any) -> int:
    """Return `value` as an int of 1 or more."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise DTypeError(f"{layer}: expected {name} to be an integer, got {value!r}")
    if value < 1:
        raise ShapeError(f"{layer}: expected {name} of 1 or more, got {value}")
    return integer(value, layer, name)
