"""Einsum: sums of products by index letters, contracted in pairs along a path of opt_einsum."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from eagerflow.core import Draw, Op, Sample, Spec, Tensor, convert, implements
from eagerflow.core.explain import user_line
from eagerflow.errors import ShapeError
from eagerflow.ops.arrays.shape import broadcast_to
from eagerflow.ops.checked import sequence
from eagerflow.ops.linear_algebra.contraction import multiply_matrices
from eagerflow.ops.precision import in_float32

__all__ = ["einsum", "multi_dot"]

# Letters of one operand after another, and of the output.
_Terms = tuple[tuple[str, ...], str]


@lru_cache(maxsize=1024)
def _split(subscripts: str) -> _Terms:
    left, output = subscripts.split("->")
    return tuple(left.split(",")), output


def _sizes(terms: tuple[str, ...], shapes: Any) -> dict[str, int]:
    """Return the length of each letter; axes of length 1 broadcast."""
    sizes: dict[str, int] = {}
    for term, shape in zip(terms, shapes, strict=True):
        for letter, length in zip(term, shape, strict=True):
            if sizes.get(letter, 1) == 1:
                sizes[letter] = length
    return sizes


@lru_cache(maxsize=1024)
def _path(subscripts: str, shapes: tuple[tuple[int, ...], ...], optimize: str) -> tuple[tuple[int, ...], ...]:
    if len(shapes) == 2:
        return ((0, 1),)
    import opt_einsum  # when first needed: it costs a fifth of what `import eagerflow` may take

    path, _ = opt_einsum.contract_path(subscripts, *shapes, shapes=True, optimize=optimize)
    return tuple(path)


@in_float32
def _einsum_kernel(xp: Any, *arrays: Any, subscripts: str, optimize: str) -> Any:
    terms, output = _split(subscripts)
    shapes = tuple([array.shape for array in arrays])
    sizes = _sizes(terms, shapes)
    dtype = np.result_type(*[array.dtype for array in arrays])
    work = [_without_ones(term, array, sizes) for term, array in zip(terms, arrays, strict=True)]
    for step in _path(subscripts, shapes, optimize):
        chosen = [work.pop(position) for position in sorted(step, reverse=True)]
        letters, array = chosen.pop()
        while chosen:
            second = chosen.pop()
            needed = {*output}.union(*[term for term, _ in (*work, *chosen)])
            letters, array = _contract(xp, letters, array, *second, needed, sizes, dtype)
        work.append((letters, array))
    letters, array = work[0]
    return _arrange(xp, letters, array, output, sizes)


def _without_ones(letters: str, array: Any, sizes: dict[str, int]) -> tuple[str, Any]:
    """Drop the axes of length 1 that broadcast: their letter has its length from another operand."""
    ones = [axis for axis, letter in enumerate(letters) if array.shape[axis] != sizes[letter]]
    if not ones:
        return letters, array
    array = array.reshape([side for axis, side in enumerate(array.shape) if axis not in ones])
    return "".join(letter for axis, letter in enumerate(letters) if axis not in ones), array


def _arrange(xp: Any, letters: str, array: Any, output: str, sizes: dict[str, int]) -> Any:
    """Sum over the letters that the output lacks, and order its axes."""
    letters, array = _sum_out(letters, array, set(output))
    return array if letters == output else array.transpose([letters.index(letter) for letter in output])


def _sum_out(letters: str, array: Any, needed: set[str]) -> tuple[str, Any]:
    axes = tuple([axis for axis, letter in enumerate(letters) if letter not in needed])
    if not axes:
        return letters, array
    # The dtype is said, as NumPy would widen small integers.
    return "".join(letter for letter in letters if letter in needed), array.sum(axis=axes, dtype=array.dtype)


def _contract(
    xp: Any, left: str, x: Any, right: str, y: Any, needed: set[str], sizes: dict[str, int], dtype: Any
) -> tuple[str, Any]:
    """Multiply two operands and sum over the letters that nothing else needs."""
    left, x = _sum_out(left, x, needed | set(right))
    right, y = _sum_out(right, y, needed | set(left))
    summed = [letter for letter in left if letter in right and letter not in needed]
    batch = [letter for letter in left if letter in right and letter in needed]
    rows = [letter for letter in left if letter not in right]
    columns = [letter for letter in right if letter not in left]
    result = "".join((*batch, *rows, *columns))
    if not summed:
        # Nothing to sum: an outer or element-wise product, which needs no matrices.
        x = x.transpose([left.index(letter) for letter in (*batch, *rows)])
        y = y.transpose([right.index(letter) for letter in (*batch, *columns)])
        x = x.reshape(x.shape + (1,) * len(columns))
        y = y.reshape(y.shape[: len(batch)] + (1,) * len(rows) + y.shape[len(batch) :])
        return result, xp.multiply(x, y, dtype=dtype)
    lengths = [[sizes[letter] for letter in group] for group in (batch, rows, summed, columns)]
    sides = [math.prod(group) for group in lengths]
    x = x.transpose([left.index(letter) for letter in (*batch, *rows, *summed)])
    y = y.transpose([right.index(letter) for letter in (*batch, *summed, *columns)])
    if batch:
        x, y = x.reshape(sides[:3]), y.reshape((sides[0], *sides[2:]))
    else:
        x, y = x.reshape(sides[1:3]), y.reshape(sides[2:])
    return result, multiply_matrices(xp, x, y).reshape(lengths[0] + lengths[1] + lengths[3])


def _einsum_rule(*specs: Spec, subscripts: str, optimize: str) -> Spec:
    terms, output = _split(subscripts)
    sizes = _sizes(terms, [spec.shape for spec in specs])
    return Spec(tuple(sizes[letter] for letter in output), np.result_type(*[spec.dtype for spec in specs]))


def _einsum_flops(*specs: Spec, subscripts: str, optimize: str) -> float:
    """Count multiplications and additions of the pairs along the path."""
    terms, output = _split(subscripts)
    shapes = tuple(spec.shape for spec in specs)
    sizes = _sizes(terms, shapes)
    work, total = [set(term) for term in terms], 0.0
    for step in _path(subscripts, shapes, optimize):
        letters = set().union(*[work.pop(position) for position in sorted(step, reverse=True)])
        total += 2.0 * math.prod(sizes[letter] for letter in letters)
        work.append(letters & set(output).union(*work))
    return total


def _einsum_vjp(
    g: Tensor, inputs: list[Tensor], position: int, subscripts: str, optimize: str, shape: tuple[int, ...]
) -> Tensor:
    terms, output = _split(subscripts)
    mine = terms[position]
    others = [(term, x) for index, (term, x) in enumerate(zip(terms, inputs, strict=True)) if index != position]
    sizes = _sizes(terms, [x.shape for x in inputs])
    known = set(output).union(*[term for term, _ in others])
    # Axes that were broadcast, or that only this operand has, come back with length 1.
    wanted = "".join(
        letter for letter, length in zip(mine, shape, strict=True) if letter in known and length == sizes[letter]
    )
    text = ",".join((output, *[term for term, _ in others])) + "->" + wanted
    product = _run(text, [g, *[x for _, x in others]], optimize)
    if wanted != mine:
        lengths = dict(zip(wanted, product.shape, strict=True))
        product = product.reshape(tuple(lengths.get(letter, 1) for letter in mine))
    return product if product.shape == shape else broadcast_to(product, shape)


def _batch(op: Op, size: int, inputs: list[Any], batched: Sequence[bool], attrs: dict[str, Any]) -> Any:
    """Batching rule: the examples are one more letter."""
    terms, output = _split(attrs["subscripts"])
    letter = next(symbol for symbol in map(_symbol, range(10_000)) if symbol not in attrs["subscripts"])
    text = ",".join([letter + term if b else term for term, b in zip(terms, batched, strict=True)])
    return op(*inputs, **{**attrs, "subscripts": f"{text}->{letter}{output}"})


def _sample_einsum(draw: Draw) -> Sample:
    lengths = {letter: draw.integer(1, 3) for letter in "abcdef"}
    terms, shapes = [], []
    for _ in range(draw.integer(2, 4)):
        letters = [str(letter) for letter in draw.rng.permutation(list(lengths))[: draw.integer(0, 3)]]
        terms.append("".join(letters))
        shapes.append(tuple(1 if draw.integer(0, 7) == 0 else lengths[letter] for letter in letters))
    used = sorted(set("".join(terms)))
    output = [str(letter) for letter in draw.rng.permutation(used)[: draw.integer(0, 4)]] if used else []
    subscripts = ",".join(terms) + "->" + "".join(output)
    return Sample(tuple(draw.array(shape) for shape in shapes), {"subscripts": subscripts, "optimize": "auto"})


_einsum = Op(
    "einsum",
    _einsum_kernel,
    inputs="*operands",
    infer=_einsum_rule,
    sample=_sample_einsum,
    vjp=_einsum_vjp,
    linear="*operands",
    batch=_batch,
    fusion="contraction",
    flops=_einsum_flops,
    onnx="Einsum",
    kinds="fc",
)


@implements(np.einsum)
def einsum(*operands: Any, optimize: bool | str = "auto") -> Tensor:
    """Sum products of arrays over axes that are named by letters.

    Parameters
    ----------
    *operands : str and array_like
        The subscripts, such as ``"ij,jk->ik"``, then the arrays. Letters that the output
        lacks are summed over; a letter twice in one operand takes its diagonal; ``...``
        stands for axes that broadcast. Without ``->`` the output has the letters that
        occur once, in alphabetical order. Or, as in NumPy, arrays that are each followed
        by a list of axis numbers, with a list for the output at the end.
    optimize : bool or str
        How opt_einsum searches for the order in which to contract three and more operands:
        ``"auto"``, ``"optimal"``, ``"greedy"``, ``"dp"``, …; True and False mean ``"auto"``.

    Returns
    -------
    Tensor
        With the axes of the output.

    Raises
    ------
    ShapeError
        The subscripts cannot be read, or do not fit the operands; the message names the letter.

    References
    ----------
    D. G. A. Smith and J. Gray, "opt_einsum: a Python package for optimizing contraction order
    for einsum-like expressions", Journal of Open Source Software 3(26), 2018.

    Examples
    --------
    >>> import eagerflow as ef
    >>> x = ef.asarray([[1.0, 2.0], [3.0, 4.0]])
    >>> ef.einsum("ij,j->i", x, [1.0, 10.0])
    Tensor([21., 43.])
    >>> ef.einsum("ii", x)
    Tensor(5.)
    """
    subscripts, arrays = _read_call(operands)
    tensors = [convert(array) for array in arrays]
    terms, output = _fit(subscripts, tuple([tensor.shape for tensor in tensors]))
    taken = [_take_diagonals(term, tensor) for term, tensor in zip(terms, tensors, strict=True)]
    text = ",".join([term for term, _ in taken]) + "->" + output
    return _run(text, [tensor for _, tensor in taken], optimize if isinstance(optimize, str) else "auto")


def _run(subscripts: str, tensors: list[Tensor], optimize: str) -> Tensor:
    """Contract operands without repeated letters."""
    if len(tensors) > 1:
        result: Tensor = _einsum(*tensors, subscripts=subscripts, optimize=optimize)
        return result
    (term,), output = _split(subscripts)
    axes = tuple(axis for axis, letter in enumerate(term) if letter not in output)
    x = tensors[0].sum(axis=axes) if axes else tensors[0]
    if x.dtype != tensors[0].dtype:
        x = x.astype(tensors[0].dtype)  # a sum widens small integers, einsum does not
    left = [letter for letter in term if letter in output]
    order = tuple(left.index(letter) for letter in output)
    return x if order == tuple(range(len(order))) else x.transpose(order)


def _read_call(operands: tuple[Any, ...]) -> tuple[str, tuple[Any, ...]]:
    if operands and isinstance(operands[0], str):
        return operands[0].replace(" ", ""), operands[1:]
    if len(operands) < 2:
        raise _unreadable("", "expected subscripts such as 'ij,jk->ik' and then arrays")
    count = len(operands) // 2
    arrays, lists = operands[: 2 * count : 2], operands[1 : 2 * count : 2]
    try:
        text = ",".join(map(_letters, lists))
        if len(operands) % 2:
            text += "->" + _letters(operands[-1])
    except (TypeError, ValueError):
        raise _unreadable("", "expected subscripts first, or arrays each followed by a list of axis numbers") from None
    return text, arrays


def _letters(numbers: Any) -> str:
    return "".join("..." if number is Ellipsis else _symbol(int(number)) for number in numbers)


def _symbol(number: int) -> str:
    """Return letter `number` of an endless alphabet that begins as einsum's."""
    if not 0 <= number < 10_000:
        raise ValueError(f"axis number {number}")
    if number < 52:
        return chr(number + (65 if number < 26 else 71))
    return chr(number + 140)


@lru_cache(maxsize=1024)
def _fit(subscripts: str, shapes: tuple[tuple[int, ...], ...]) -> _Terms:
    """Return the letters of each axis, checked against the shapes."""
    terms, output = _expand(subscripts, tuple([len(shape) for shape in shapes]))
    _check(subscripts, terms, output, shapes)
    return terms, output


def _expand(subscripts: str, ndims: tuple[int, ...]) -> _Terms:
    """Give each axis under an ellipsis a letter, and say the output outright."""
    left, arrow, output = subscripts.partition("->")
    terms = left.split(",")
    if len(terms) != len(ndims):
        raise _unreadable(subscripts, f"the subscripts name {len(terms)} operands, got {len(ndims)}")
    for part in (*terms, output):
        plain = part.replace("...", "", 1)
        wrong = next((letter for letter in plain if not letter.isalpha()), None)
        if wrong is not None:
            raise _unreadable(subscripts, f"{wrong!r} is no letter")
    hidden = [ndim - len(term) + 3 for term, ndim in zip(terms, ndims, strict=True) if "..." in term]
    for position, (term, ndim) in enumerate(zip(terms, ndims, strict=True)):
        named = len(term.replace("...", ""))
        if named > ndim or (named != ndim and "..." not in term):
            raise _unreadable(subscripts, f"{term!r} names {named} axes of operand {position}, which has {ndim}")
    fresh = [symbol for symbol in map(_symbol, range(200)) if symbol not in subscripts]
    extra = "".join(fresh[: max(hidden, default=0)])
    if not arrow:
        letters = "".join(terms).replace("...", "")
        once = {letter for letter in letters if letters.count(letter) == 1}
        output = ("..." if hidden else "") + "".join(sorted(once))
    elif extra and "..." not in output:
        raise _unreadable(subscripts, "the axes under '...' are not in the output; sum over letters instead")
    if len(set(output.replace("...", ""))) != len(output.replace("...", "")):
        twice = next(letter for letter in output.replace("...", "") if output.count(letter) > 1)
        raise _unreadable(subscripts, f"the output has {twice!r} twice")
    full = []
    for term, ndim in zip(terms, ndims, strict=True):
        count = ndim - len(term) + 3
        full.append(term.replace("...", extra[len(extra) - count :]) if "..." in term else term)
    return tuple(full), output.replace("...", extra)


def _check(subscripts: str, terms: tuple[str, ...], output: str, shapes: tuple[tuple[int, ...], ...]) -> None:
    came = " and ".join(map(str, shapes))
    sizes: dict[str, tuple[int, int]] = {}
    for position, (term, shape) in enumerate(zip(terms, shapes, strict=True)):
        for letter, length in zip(term, shape, strict=True):
            known, where = sizes.get(letter, (1, position))
            if known != length and 1 not in (known, length):
                name = repr(letter) if letter in subscripts else "an axis under '...'"
                raise _unreadable(
                    subscripts,
                    f"{name} is {known} long in operand {where} and {length} in operand {position}: shapes {came}",
                )
            if letter not in sizes or known == 1:
                sizes[letter] = length, position
    for letter in output:
        if letter not in sizes:
            raise _unreadable(subscripts, f"the output letter {letter!r} is in no operand: shapes {came}")


def _unreadable(subscripts: str, why: str) -> ShapeError:
    return ShapeError(f"einsum: {f'{subscripts!r}: ' if subscripts else ''}{why}\n  at {user_line()}")


def _take_diagonals(term: str, x: Tensor) -> tuple[str, Tensor]:
    """Keep one axis of each letter that occurs more than once."""
    while len(set(term)) != len(term):
        letter = next(letter for letter in term if term.count(letter) > 1)
        first = term.index(letter)
        second = term.index(letter, first + 1)
        if x.shape[first] != x.shape[second]:
            # One of them is 1 long and broadcasts: take it away.
            one = first if x.shape[first] == 1 else second
            x = x.reshape(tuple(side for axis, side in enumerate(x.shape) if axis != one))
            term = term[:one] + term[one + 1 :]
            continue
        x = x.diagonal(0, first, second)
        term = "".join(item for axis, item in enumerate(term) if axis not in (first, second)) + letter
    return term, x


@implements(np.linalg.multi_dot)
def multi_dot(arrays: Any) -> Tensor:
    """Multiply several matrices in the order that costs least.

    Parameters
    ----------
    arrays : sequence of array_like
        Two or more matrices; the first and the last may be vectors.

    Returns
    -------
    Tensor
        Their product.

    Raises
    ------
    ShapeError
        Fewer than two arrays, or shapes that do not meet.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.linalg.multi_dot([[1.0, 2.0], ef.ones((2, 3)), ef.ones((3, 2)), [1.0, 1.0]])
    Tensor(18.)
    """
    tensors = [convert(array) for array in sequence(arrays, "multi_dot", "arrays")]
    if len(tensors) < 2:
        raise ShapeError(f"multi_dot: expected two arrays or more, got {len(tensors)}\n  at {user_line()}")
    shapes = [tensor.shape for tensor in tensors]
    last = len(tensors) - 1
    for position, shape in enumerate(shapes):
        if len(shape) != 2 and not (len(shape) == 1 and position in (0, last)):
            raise ShapeError(f"multi_dot: expected matrices, got the shapes {shapes}\n  at {user_line()}")
        if position and shapes[position - 1][-1] != shape[0]:
            raise ShapeError(f"multi_dot: the inner dimensions do not meet: {shapes}\n  at {user_line()}")
    letters = [_symbol(position) for position in range(last + 2)]
    terms = [letters[position] + letters[position + 1] for position in range(last + 1)]
    if len(shapes[0]) == 1:
        terms[0] = letters[1]
    if len(shapes[-1]) == 1:
        terms[-1] = letters[last]
    output = (letters[0] if len(shapes[0]) == 2 else "") + (letters[-1] if len(shapes[-1]) == 2 else "")
    return _run(",".join(terms) + "->" + output, tensors, "auto")
