"""Module: a pytree of Variables, named by the attributes that lead to them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Self

import numpy as np
import optree

from eagerflow.core import ArrayMethods, Tensor, Variable, convert
from eagerflow.errors import DTypeError, ShapeError
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
        optree.register_pytree_node(cls, _flatten, cls._unflatten, namespace=_NAMESPACE)

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
    def _unflatten(cls, static: _Static, children: Iterable[Any]) -> Any:
        module = object.__new__(cls)
        attributes = vars(module)
        attributes.update(dict.fromkeys(static.order))
        attributes.update(static.values)
        attributes.update(zip(static.names, children, strict=True))
        # Whatever took the place of the Variables, these attributes stay the children.
        attributes["_leaf_attributes"] = static.names
        return module


class _Static:
    """The attributes of a Module that are no children; equal where they are the same or compare equal."""

    __slots__ = ("names", "order", "values")

    def __init__(self, names: tuple[str, ...], order: tuple[str, ...], values: dict[str, Any]) -> None:
        self.names = names
        self.order = order
        self.values = values

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Static) or self.names != other.names or self.values.keys() != other.values.keys():
            return False
        return all(_equal(value, other.values[key]) for key, value in self.values.items())

    def __hash__(self) -> int:
        return hash((self.names, tuple(self.values)))


def _equal(x: Any, y: Any) -> bool:
    if x is y:
        return True
    try:
        return bool(x == y)
    except (ValueError, TypeError):
        return False


def _flatten(module: Module) -> tuple[tuple[Any, ...], _Static, tuple[str, ...]]:
    attributes = {key: value for key, value in vars(module).items() if key != "_leaf_attributes"}
    known = getattr(module, "_leaf_attributes", ())
    names = tuple(key for key, value in attributes.items() if key in known or _holds_variables(value))
    static = {key: value for key, value in attributes.items() if key not in names}
    return tuple(attributes[name] for name in names), _Static(names, tuple(attributes), static), names


def _holds_variables(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return any(_holds_variables(item) for item in value)
    if isinstance(value, dict):
        return any(_holds_variables(item) for item in value.values())
    return isinstance(value, Variable | Module)


def _children(item: Any) -> list[tuple[str, Any]]:
    if isinstance(item, list | tuple):
        return [(str(index), child) for index, child in enumerate(item)]
    if isinstance(item, dict):
        return [(str(key), child) for key, child in item.items()]
    if isinstance(item, Module):
        return [(key, child) for key, child in vars(item).items() if key != "_leaf_attributes"]
    return []


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
    """Return the number of elements of the trainable Variables."""
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


def size_of(layer: str, name: str, value: Any) -> int:
    """Return `value` as an int of 1 or more."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise DTypeError(f"{layer}: expected {name} to be an integer, got {value!r}")
    if value < 1:
        raise ShapeError(f"{layer}: expected {name} of 1 or more, got {value}")
    return int(value)
