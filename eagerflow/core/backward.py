"""The backward walk: from a target to its sources along the records of one tape."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import numpy as np

from eagerflow.core.dispatch import enter_arrays, leave_arrays
from eagerflow.core.extension import fast
from eagerflow.core.pullback import ALONE, OUTPUT, UNCHANGED, WITH_ONE, WITH_TWO
from eagerflow.core.record import Record, Recorder
from eagerflow.core.tensor import Tensor, is_inexact, wrap
from eagerflow.core.traced import capturing
from eagerflow.devices import CPU0
from eagerflow.devices.request import asked, request, requested
from eagerflow.errors import GradientError

_ndarray = np.ndarray
_LARGE = 4096  # elements from which on adding in place saves more than it costs


def backward(
    recorder: Recorder, seeds: Iterable[tuple[Record, Tensor]], sources: set[Record], release: bool
) -> dict[Record, Tensor]:
    """Return the gradient of each source that the seeds reach.

    Parameters
    ----------
    recorder : Recorder
        Whose records to walk.
    seeds : iterable of (Record, Tensor)
        Records of the targets and the gradients to start with.
    sources : set of Record
        Where gradients are wanted.
    release : bool
        Whether to let go of each record once it is passed.

    Returns
    -------
    dict
        The gradients that arrived, by source.
    """
    if asked.count and requested.get() is not None:
        with request(None):  # gradients are computed where their operations were, not where they are asked for
            return backward(recorder, seeds, sources, release)
    gradients: dict[Record, Any] = {}
    for record, seed in seeds:
        _accumulate(gradients, record, _lower(seed))
    found: dict[Record, Any] = {}
    needed = _needed(recorder, sources)
    add = partial(_add, set())
    inner = {record for record in sources if record.op is not None}
    tokens = None if recorder.recording else enter_arrays()
    # A copy, since this tape may record what the walk does.
    records = recorder.records[::-1]
    position = 0
    try:
        while position < len(records):
            if tokens is not None:
                try:
                    position = sweep(records, position, recorder, gradients, needed, inner, release, _fit, add)
                except Exception as error:
                    _note(error, getattr(error, "_eagerflow_op", None))
                    raise
                if position >= len(records):
                    break
            record = records[position]
            position += 1
            g = gradients.pop(record, None)
            mine = record.tape is recorder
            if g is None:
                if release and mine:
                    record.saved = None
                continue
            if type(g) is not _ndarray and type(g) is not Several:
                g = _lower(g)  # sums of arrays without axes are NumPy scalars
            if record in inner:
                found[record] = g
            op: Any = record.op
            if op is OUTPUT:
                _collect(gradients, record, g, needed)
                continue
            if not mine or recorder.recording:
                # Another tape, or this one, records: the gradient itself must be recorded.
                pullbacks, g = op.tracked, _lift(g, record)
            elif op.arrays is None or record.device is not CPU0 or (type(g) is not _ndarray and not _is_bare(g)):
                pullbacks, g = op.plain, _lift(g, record)
            else:
                pullbacks = op.arrays
            bare = pullbacks is op.arrays
            if bare is (tokens is None):
                if tokens is None:
                    tokens = enter_arrays()
                else:
                    leave_arrays(tokens)
                    tokens = None
            try:
                if bare:
                    pull(record, g, pullbacks, gradients, needed, _fit, add)
                else:
                    _pull_tensors(record, g, pullbacks, gradients, needed, add)
            except Exception as error:
                _note(error, op)
                raise
            if release and mine:
                record.saved = None  # the parents stay until the end, to tell why a gradient is missing
    finally:
        if tokens is not None:
            leave_arrays(tokens)
    for record in sources:
        if record in gradients:
            found[record] = gradients[record]
    return {record: _lift(_lower(g), record) for record, g in found.items()}


def _note(error: Exception, op: Any) -> None:
    name = getattr(op, "name", "an op")
    error.add_note(f"in the gradient of {name} for input {getattr(error, '_eagerflow_input', '')}")


def sweep(
    records: list[Record],
    position: int,
    recorder: Recorder,
    gradients: dict[Record, Any],
    needed: set[Record] | None,
    inner: set[Record],
    release: bool,
    fit: Callable[[Any, Record], Any],
    add: Callable[[dict[Record, Any], Record, Any], Any],
) -> int:
    """Pass records from `position` on while they need nothing but `pull`; return where it stopped.

    In Python it passes none: the loop of `backward` says what is to be done with each. In C it passes those of
    this tape alone, on the first CPU device, with a bare array as gradient, that are no source.
    """
    return position


def pull(
    record: Record,
    g: Any,
    pullbacks: tuple[Any, ...],
    gradients: dict[Record, Any],
    needed: set[Record] | None,
    fit: Callable[[Any, Record], Any],
    add: Callable[[dict[Record, Any], Record, Any], Any],
) -> None:
    """Hand the gradient `g` of a record's output on to its parents, on bare arrays."""
    saved = record.saved
    last = len(pullbacks) - 1
    for index, parent in enumerate(record.parents):
        entry = pullbacks[index if index < last else last]
        if parent is None or entry is None or (needed is not None and parent not in needed):
            continue
        form, function, first, second = entry
        try:
            if form == WITH_ONE:
                gradient = function(g, saved[first])
            elif form == UNCHANGED:
                gradient = g
            elif form == WITH_TWO:
                gradient = function(g, saved[first], saved[second])
            elif form == ALONE:
                gradient = function(g)
            else:
                gradient = function(g, record, index)
            if type(gradient) is not _ndarray or gradient.shape != parent.shape or gradient.dtype is not parent.dtype:
                gradient = fit(gradient, parent)
            gradients[parent] = add(gradients, parent, gradient) if parent in gradients else gradient
        except Exception as error:
            error._eagerflow_input = index  # type: ignore[attr-defined]
            raise


if fast is not None:
    pull, sweep = fast.pull, fast.sweep


def _pull_tensors(
    record: Record,
    g: Any,
    pullbacks: tuple[Any, ...],
    gradients: dict[Record, Any],
    needed: set[Record] | None,
    add: Callable[[dict[Record, Any], Record, Any], Any],
) -> None:
    """Hand the gradient `g` on by gradient functions that take Tensors."""
    capture = capturing.get()
    wish = None if capture is None or requested.get() is not None else capture.wish_of(record)
    last = len(pullbacks) - 1
    for index, parent in enumerate(record.parents):
        pullback = pullbacks[index if index < last else last]
        if parent is None or pullback is None or (needed is not None and parent not in needed):
            continue
        try:
            if wish is None:
                gradient = _fit(pullback(g, record, index), parent)
            else:
                with request(wish):  # of the operation; what gradients sum up to is where its input is
                    gradient = _fit(pullback(g, record, index), parent)
            gradients[parent] = add(gradients, parent, gradient) if parent in gradients else gradient
        except Exception as error:
            error._eagerflow_input = index  # type: ignore[attr-defined]
            raise


def _add(owned: set[Record], gradients: dict[Record, Any], parent: Record, gradient: Any) -> Any:
    """Return the gradient of `parent` so far and this one: in place, once the sum is an array of our own."""
    previous = gradients[parent]
    if parent in owned and type(gradient) is _ndarray:
        return np.add(previous, gradient, out=previous)
    total = previous + gradient
    if type(total) is _ndarray and total.size >= _LARGE:
        owned.add(parent)
    return total


def _lower(g: Any) -> Any:
    """Return the bare array of a Tensor on the host that no tape follows; another Tensor as it is."""
    if type(g) is Tensor:
        return g._held if g._rec is None and g._device is CPU0 else g
    return np.asarray(g) if isinstance(g, np.generic) else g


def _lift(g: Any, record: Record) -> Any:
    """Return bare arrays as Tensors on the record's device."""
    if type(g) is _ndarray:
        return wrap(g, record.device)
    if type(g) is Several:
        return Several([_lift(item, record) for item in g])
    return g


def _is_bare(g: Any) -> bool:
    if type(g) is Several:
        return not any(type(item) is Tensor for item in g)
    return type(g) is _ndarray


class Several(list[Any]):
    """The gradients of the outputs of one op; None for an output that nothing used."""

    __slots__ = ("_result",)
    _result: Any

    def once(self, compute: Callable[[], Any]) -> Any:
        """Return ``compute()``, called once for the gradient functions of all inputs of the op."""
        try:
            return self._result
        except AttributeError:
            self._result = compute()
            return self._result


def _collect(gradients: dict[Record, Any], record: Record, g: Tensor, needed: set[Record] | None) -> None:
    """Hand the gradient of one of several outputs to the op that made them all."""
    parent = record.parents[0]
    assert parent is not None and parent.op is not None
    if needed is None or parent in needed:
        several = gradients.setdefault(parent, Several([None] * len(parent.shape)))
        index = record.saved
        several[index] = g if several[index] is None else several[index] + g


def _accumulate(gradients: dict[Record, Any], record: Record, g: Any) -> None:
    previous = gradients.get(record)
    gradients[record] = g if previous is None else previous + g


def _needed(recorder: Recorder, sources: set[Record]) -> set[Record] | None:
    """Return the records on a way to a source; None where all of them may be."""
    for _, leaf in recorder.leaves.values():
        if leaf not in sources:
            break
    else:
        return None
    needed = set(sources)
    for record in recorder.records:
        for parent in record.parents:
            if parent in needed:
                needed.add(record)
                break
    return needed


def _fit(g: Any, parent: Record) -> Any:
    """Undo broadcasting, and restore the dtype of the input that the gradient belongs to."""
    g = _lower(g)
    if g.ndim != len(parent.shape) or g.shape != parent.shape:  # Python compares shapes of unequal lengths side by side
        g = unbroadcast(g, parent.shape)
    if g.dtype != parent.dtype:
        if g.dtype.kind == "c" and parent.dtype.kind != "c":
            g = g.real
        if g.dtype != parent.dtype:
            g = g.astype(parent.dtype)
    return _lower(g)


def unbroadcast(g: Any, shape: tuple[int, ...]) -> Any:
    """Sum `g` over the axes along which an array of `shape` was repeated."""
    extra = g.ndim - len(shape)
    if 0 < extra < len(_LEADING) and g.shape[extra:] == shape:  # the most frequent case: a bias
        axes = _LEADING[extra]
    else:
        repeats = list(range(extra))
        for axis, (length, repeated) in enumerate(zip(shape, g.shape[max(extra, 0) :], strict=False), extra):
            if length != repeated:
                if length != 1:
                    extra = -1
                repeats.append(axis)
        if extra < 0:
            raise GradientError(f"a gradient function returned shape {g.shape} for an input of shape {shape}")
        axes = tuple(repeats)
    if type(g) is _ndarray:
        if g.itemsize < 4 and is_inexact(g.dtype):  # low precision, in which NumPy would lose the small ones
            g = np.add.reduce(g, axes, np.float32).astype(g.dtype)
        else:
            g = np.add.reduce(g, axes)
    elif axes:
        g = g.sum(axis=axes)
    return g if g.shape == shape else g.reshape(shape)


_LEADING = tuple(tuple(range(count)) for count in range(8))


def why_missing(targets: list[Record], source: Record | None) -> str:
    """Return why no gradient flows from the targets to `source`."""
    if source is None:
        return "it is not watched: use tape.watch(source) before it is used (trainable Variables are watched when read)"
    if not targets:
        return "the target does not depend on anything that the tape watches"
    seen: set[Record] = set()
    stack: list[tuple[Record, str | None]] = [(target, None) for target in targets]
    while stack:
        record, stop = stack.pop()
        if record is source and stop is not None:
            return stop
        if record in seen:
            continue
        seen.add(record)
        op = record.op
        for position, parent in enumerate(record.parents):
            if parent is not None and op is not None:
                reason = stop
                if op is not OUTPUT and op.pullback(position) is None:
                    reason = f"it passed through {op.name}: {op.why_not(position)}"
                stack.append((parent, reason))
    return "it was never used to compute the target"


def check_inexact(dtype: Any, what: str) -> None:
    """Raise where gradients of this dtype do not exist."""
    if not is_inexact(dtype):
        raise GradientError(f"{what} has dtype {dtype}; gradients exist for floating-point and complex dtypes only")
