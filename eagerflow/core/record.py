"""Records: what tapes keep of each operation, and the recorders that keep them."""

from __future__ import annotations

import sys
import threading
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from eagerflow.core.op import Op


_pruning = threading.Lock()


class Record:
    """One recorded operation, or one source (a leaf, whose `op` is None).

    Attributes
    ----------
    op : Op or None
        The operation.
    parents : tuple
        Per input the record that made it, or None where no tape follows the input.
    saved : tuple
        Per input, then for the output: the array that the gradient needs, or None. Arrays,
        not Tensors: a handle may be assigned to later, an array that is kept here may not.
    attrs : dict
        Attributes of the call.
    shape, dtype, device :
        Those of the output (of several outputs: tuples of shapes and of dtypes).
    tape : Recorder or Joint
        The recorder that follows this value, or several of them.
    """

    __slots__ = ("attrs", "device", "dtype", "op", "parents", "saved", "shape", "tape")

    def __init__(
        self,
        op: Op | None,
        parents: tuple[Record | None, ...],
        saved: Any,
        attrs: Any,
        shape: Any,
        dtype: Any,
        device: Any,
        tape: Recorder | Joint,
    ) -> None:
        self.op = op
        self.parents = parents
        self.saved = saved
        self.attrs = attrs
        self.shape = shape
        self.dtype = dtype
        self.device = device
        self.tape = tape

    def release(self) -> None:
        """Let go of everything that the gradient would have needed."""
        self.parents = ()
        self.saved = self.attrs = None


class Recorder:
    """The list of records of one tape, in the order in which they were made.

    The tape owns it; records refer to it. When the tape is used up or gone, `close` empties
    it, so that Tensors which outlive the tape hold no memory but their own.
    """

    __slots__ = ("depth", "leaves", "limit", "recording", "records", "watch_accessed")

    def __init__(self, watch_accessed: bool, depth: int = 0) -> None:
        self.depth = depth  # how many transformations ran around the tape when it was made
        self.records: list[Record] = []
        self.recording = False
        self.watch_accessed = watch_accessed
        # By id: (the watched Tensor or Variable, kept so that its id stays its own; its leaf).
        self.leaves: dict[int, tuple[Any, Record]] = {}
        self.limit = 2000

    def prune(self) -> None:
        """Drop records that nothing can reach: their outputs are gone and no record used them."""
        if not _pruning.acquire(blocking=False):
            return
        try:
            records = self.records
            count = len(records)
            kept = []
            # Backwards, so that the end of a dead chain frees the record before it.
            for position in range(count - 1, -1, -1):
                record = records[position]
                if sys.getrefcount(record) > _UNREACHABLE:
                    kept.append(record)
                else:
                    record.release()
            kept.reverse()
            records[:count] = kept  # another thread may have appended since
            self.limit = 2 * len(records) + 2000
        finally:
            _pruning.release()

    def close(self) -> None:
        """Forget all records."""
        self.recording = False
        for record in self.records:
            if record.tape is self:  # what `release` does
                record.parents = ()
                record.saved = record.attrs = None
        self.records.clear()
        self.leaves.clear()


class Joint:
    """The recorders that follow one value, where tapes are nested."""

    __slots__ = ("recorders",)

    def __init__(self, recorders: tuple[Recorder, ...]) -> None:
        self.recorders = recorders


def recorders(tape: Recorder | Joint) -> tuple[Recorder, ...]:
    """Return the recorders of a record."""
    return (tape,) if type(tape) is Recorder else tape.recorders  # type: ignore[union-attr]


def _count_references() -> int:
    records = [Record(None, (), None, None, None, None, None, Recorder(False))]
    record = records[0]
    return sys.getrefcount(record)


_UNREACHABLE = _count_references()

# The recorders of the tapes that are open in this thread or asyncio task, outermost first.
active: ContextVar[tuple[Recorder, ...]] = ContextVar("active", default=())


def attach(
    op: Op, parents: tuple[Record | None, ...], saved: Any, attrs: Any, shape: Any, dtype: Any, device: Any
) -> Record | None:
    """Make a record and append it to every recorder that follows a parent; None if none records."""
    tape: Recorder | Joint | None = None
    for parent in parents:
        if parent is not None and parent.tape is not tape:
            tape = parent.tape if tape is None else _join(recorders(tape) + recorders(parent.tape))
    if type(tape) is not Recorder or not tape.recording:
        tape = _join(() if tape is None else recorders(tape))
        if tape is None:
            return None
    record = Record(op, parents, saved, attrs, shape, dtype, device, tape)
    for recorder in recorders(tape):
        recorder.records.append(record)
        if len(recorder.records) > recorder.limit:
            recorder.prune()
    return record


def _join(several: tuple[Recorder, ...]) -> Recorder | Joint | None:
    """Return those recorders that record, each once, as the tape of a record."""
    live = tuple(dict.fromkeys([recorder for recorder in several if recorder.recording]))
    return None if not live else live[0] if len(live) == 1 else Joint(live)


def leaf(source: Any, value: Any, known: Record | None, tape: Recorder) -> Record:
    """Return the record under which `tape` follows `source`; `known` is one from other tapes.

    `value` is the Tensor that holds the values of the source.
    """
    if known is None:
        known = Record(None, (), None, None, value.shape, value.dtype, value.device, tape)
    elif type(known.tape) is Recorder and not known.tape.recording and not known.tape.records:
        known.tape = tape  # the tape that followed it is used up
    elif tape not in recorders(known.tape):
        others = tuple([other for other in recorders(known.tape) if other.recording or other.records])
        known.tape = Joint((*others, tape)) if others else tape
    tape.leaves[id(source)] = (source, known)
    return known
