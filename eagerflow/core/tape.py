"""GradientTape: follows operations on watched values and gives their gradients."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import Token
from typing import Any, Literal

import numpy as np
import optree

from eagerflow.core.array_methods import ArrayMethods
from eagerflow.core.backward import backward, check_inexact, why_missing
from eagerflow.core.leaving import own
from eagerflow.core.record import Record, Recorder, active, leaf, recorders
from eagerflow.core.tensor import Tensor, convert, filled, zeros_like
from eagerflow.core.traced import Traced, capturing, depth
from eagerflow.core.variable import Variable
from eagerflow.errors import DTypeError, GradientError, ShapeError

Unconnected = Literal["error", "none", "zero"]


class GradientTape:
    """Record operations, then differentiate them.

    Within the ``with`` block, operations on watched Tensors and on trainable Variables are
    recorded, those that other threads do on watched Tensors included.

    Parameters
    ----------
    persistent : bool
        Whether `gradient` may be called more than once. Otherwise the tape lets go of what it
        holds during the first call.
    watch_accessed_variables : bool
        Whether trainable Variables are watched as soon as they are read.

    Notes
    -----
    The gradient of a real target with respect to a complex source ``z = x + iy`` is
    ``∂/∂x + i ∂/∂y``, the direction of steepest ascent, as in TensorFlow and PyTorch.

    Examples
    --------
    >>> import eagerflow as ef
    >>> x = ef.asarray(3.0)
    >>> with ef.GradientTape() as tape:
    ...     tape.watch(x)
    ...     y = x * x
    >>> tape.gradient(y, x)
    Tensor(6.)
    """

    def __init__(self, persistent: bool = False, watch_accessed_variables: bool = True) -> None:
        self._persistent = persistent
        self._recorder = Recorder(watch_accessed_variables, depth())
        self._used = False
        self._thread = threading.get_ident()
        self._token: Token[tuple[Recorder, ...]] | None = None

    def __enter__(self) -> GradientTape:
        if self._token is not None:
            raise GradientError("this tape is open already")
        if self._used:
            raise _used_up()
        self._token = active.set((*active.get(), self._recorder))
        self._recorder.recording = True
        return self

    def __exit__(self, kind: Any = None, value: BaseException | None = None, traceback: Any = None) -> None:
        self._recorder.recording = False
        token, self._token = self._token, None
        if token is None:
            if value is None:
                raise GradientError("this tape is closed already")
            return  # what happened before is what counts
        try:
            active.reset(token)
        except ValueError:
            raise GradientError("a tape is closed in the thread or asyncio task that opened it") from None
        hidden = own(value)
        if hidden is not None:
            raise hidden from None

    def __del__(self) -> None:
        # Tensors that outlive the tape must not keep what it recorded.
        recorder = getattr(self, "_recorder", None)
        if recorder is not None:
            recorder.close()

    def watch(self, tensors: Any) -> None:
        """Follow what is computed from these Tensors or Variables.

        Parameters
        ----------
        tensors : pytree of Tensor or Variable
            What to follow.

        Raises
        ------
        GradientError
            One has an integer or boolean dtype.
        DTypeError
            One is neither a Tensor nor a Variable, so that nothing could be followed.
        """
        recorder = self._recorder
        for source in _flatten(tensors)[0]:
            if isinstance(source, Tensor):
                check_inexact(source.dtype, "watch: the Tensor")
                source._rec = leaf(source, source, source._rec, recorder)
            elif isinstance(source, Variable):
                check_inexact(source.dtype, f"watch: {source.name or 'a Variable'}")
                source._leaf(recorder)
            else:
                raise DTypeError(f"watch: expected Tensors or Variables, got {type(source).__name__}; use ef.asarray")

    @property
    def watched_variables(self) -> list[Variable]:
        """The Variables that the tape follows, in the order in which they were read."""
        return [source for source, _ in self._recorder.leaves.values() if isinstance(source, Variable)]

    @contextmanager
    def stop_recording(self) -> Iterator[None]:
        """Record nothing on this tape in the block."""
        before = self._recorder.recording
        self._recorder.recording = False
        try:
            yield
        finally:
            self._recorder.recording = before

    def reset(self) -> None:
        """Forget everything recorded and watched, and start anew."""
        recording = self._recorder.recording
        self._recorder.close()
        self._recorder.recording = recording
        self._used = False

    def gradient(
        self, target: Any, sources: Any, output_gradients: Any = None, unconnected: Unconnected = "error"
    ) -> Any:
        """Differentiate `target` with respect to `sources`.

        Parameters
        ----------
        target : pytree of Tensor
            What to differentiate; of several elements or Tensors, their sum.
        sources : pytree of Tensor or Variable
            With respect to what.
        output_gradients : pytree of Tensor, optional
            Weights of the target's elements, in its structure; ones if not given.
        unconnected : {"error", "none", "zero"}
            What a source gives that the target does not depend on.

        Returns
        -------
        pytree of Tensor
            Gradients in the structure, shapes and dtypes of `sources`.

        Raises
        ------
        GradientError
            The target does not depend on a source, and why; the target is an integer; the tape
            is used up; or the call comes from another thread than the tape's.
        """
        self._check_usable()
        recorder = self._recorder
        if unconnected not in ("error", "none", "zero"):
            raise GradientError(f"gradient: unconnected is 'error', 'none' or 'zero', got {unconnected!r}")
        source_list, rebuild = _flatten(sources)
        wanted = [self._find(source) for source in source_list]
        targets = self._targets(target)
        weights = self._weights(targets, target, output_gradients)
        release = not self._persistent
        if release:
            recorder.recording = False
            self._used = True
        seeds = [(t._rec, w) for t, w in zip(targets, weights, strict=True) if t._rec is not None]
        try:
            found = backward(recorder, seeds, {record for record in wanted if record is not None}, release)
            gradients: list[Any] = []
            for position, record in enumerate(wanted):
                g = None if record is None else found.get(record)
                if g is None:
                    g = self._missing(source_list, position, unconnected, wanted, seeds)
                elif g.dtype.kind == "c":
                    g = g.conj()
                gradients.append(g)
        finally:
            if release:
                recorder.close()
        return rebuild(gradients)

    def _missing(
        self,
        sources: Any,
        position: int,
        unconnected: Unconnected,
        wanted: list[Record | None],
        seeds: list[tuple[Record, Tensor]],
    ) -> Tensor | None:
        """Return what stands for the gradient of a source that the target does not depend on."""
        source = sources[position]
        if unconnected == "error":
            reason = why_missing([record for record, _ in seeds], wanted[position])
            raise _no_gradient(source, position, reason)
        if unconnected == "zero":
            return zeros_like(source._read())
        return None

    def jacobian(self, target: Tensor, sources: Any, unconnected: Unconnected = "error") -> Any:
        """Differentiate every element of `target` with respect to `sources`.

        Parameters
        ----------
        target : Tensor
            Of any shape.
        sources : pytree of Tensor or Variable
            With respect to what.
        unconnected : {"error", "none", "zero"}
            What a source gives that the target does not depend on.

        Returns
        -------
        pytree of Tensor
            For a source of shape s a Tensor of shape ``target.shape + s``.

        Raises
        ------
        GradientError
            As `gradient`.

        Notes
        -----
        With respect to a complex source a row is what `gradient` gives for the real part of an element: of a
        holomorphic function the conjugate of the derivative that `eagerflow.jacobian` gives.
        """
        self._check_usable()
        persistent, self._persistent = self._persistent, True
        try:
            result = self._rows(target, sources, 1, unconnected)
            if target.dtype.kind == "c":
                # A gradient with respect to real numbers is real: that of the imaginary part is another one.
                other = self._rows(target, sources, 1j, unconnected)
                result = optree.tree_map(_join_parts, result, other, none_is_leaf=True)
        finally:
            self._persistent = persistent
        if not persistent:
            self._used = True
            self._recorder.close()
        return result

    def _rows(self, target: Tensor, sources: Any, factor: complex, unconnected: Unconnected) -> Any:
        rows = []
        flat = np.zeros((max(target.size, 1), target.size), target.dtype)
        np.fill_diagonal(flat, factor)
        for row in flat:
            weight = convert(row.reshape(target.shape), target.dtype, target.device)
            rows.append(self.gradient(target, sources, weight, unconnected))
        return optree.tree_map(lambda *g: _stack_rows(g, target), *rows, none_is_leaf=True)

    def _check_usable(self) -> None:
        if self._used:
            raise _used_up()
        if threading.get_ident() != self._thread:
            raise GradientError("gradient: a tape belongs to the thread that made it; ask for gradients there")

    def _find(self, source: Any) -> Record | None:
        if not isinstance(source, ArrayMethods):
            raise DTypeError(f"gradient: a source is a Tensor or a Variable, got {type(source).__name__}")
        known = self._recorder.leaves.get(id(source))
        if known is not None:
            return known[1]
        check_inexact(source._read().dtype, "gradient: a source")
        record = source._rec if isinstance(source, Tensor) else None
        return record if record is not None and self._recorder in recorders(record.tape) else None

    def _targets(self, target: Any) -> list[Tensor]:
        if type(target) is Tensor and target._held.dtype.kind == "f":
            return [target]
        targets = [value._read() if isinstance(value, ArrayMethods) else value for value in optree.tree_leaves(target)]
        for value in targets:
            if not isinstance(value, Tensor):
                raise DTypeError(f"gradient: a target is a Tensor, got {type(value).__name__}")
            check_inexact(value.dtype, "gradient: the target")
        return targets

    def _weights(self, targets: list[Tensor], target: Any, output_gradients: Any) -> list[Tensor]:
        if output_gradients is None:
            return [_one(value) for value in targets]
        try:
            weights = [convert(weight) for weight in optree.tree_structure(target).flatten_up_to(output_gradients)]
        except ValueError as error:
            raise ShapeError(f"gradient: output_gradients has another structure than the target: {error}") from None
        for weight, value in zip(weights, targets, strict=True):
            if weight.shape != value.shape:
                raise ShapeError(f"gradient: output_gradients has shape {weight.shape}, the target {value.shape}")
        weights = [w if w.dtype == t.dtype else w.astype(t.dtype) for w, t in zip(weights, targets, strict=True)]
        return [weight.conj() if weight.dtype.kind == "c" else weight for weight in weights]


def _flatten(tree: Any) -> tuple[Any, Callable[[list[Any]], Any]]:
    """Return the leaves of a tree, and what puts a list in their place; the usual trees without optree."""
    if isinstance(tree, ArrayMethods):
        return (tree,), _first
    if type(tree) is list:
        for leaf_ in tree:
            if not isinstance(leaf_, ArrayMethods):
                break
        else:
            return tree, _same
    leaves, structure = optree.tree_flatten(tree, none_is_leaf=True)
    return leaves, structure.unflatten


def _first(values: list[Any]) -> Any:
    return values[0]


def _same(values: list[Any]) -> Any:
    return values


def _one(value: Tensor) -> Tensor:
    one = filled(1, value.shape, value.dtype, value.device)
    capture = capturing.get()
    # The walk back from a captured value is captured too: lengths that it spreads the seed to may be symbolic.
    return one if capture is None or not isinstance(value, Traced) else capture.lift(one)


def _stack_rows(rows: tuple[Any, ...], target: Tensor) -> Any:
    if rows[0] is None:
        return None
    stacked = convert(list(rows))[: target.size]
    return stacked.reshape(target.shape + rows[0].shape)


def _join_parts(of_real: Any, of_imag: Any) -> Any:
    return of_real if of_real is None or of_real.dtype.kind == "c" else of_real + of_imag * 1j


def _used_up() -> GradientError:
    return GradientError(
        "this tape is used up: gradient() was called on it; use GradientTape(persistent=True) to call it again"
    )


def _no_gradient(source: Any, position: int, reason: str) -> GradientError:
    name = getattr(source, "name", None)
    what = f"{name!r}" if name else f"source {position}"
    return GradientError(
        f"gradient: the target does not depend on {what} (shape {source.shape}): {reason}; "
        "pass unconnected='none' or 'zero' to allow it"
    )
