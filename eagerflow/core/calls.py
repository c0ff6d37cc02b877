"""Records of calls: a function of several Tensors on a tape as one operation, with a gradient of its own."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from eagerflow.core.pullback import output
from eagerflow.core.record import Record, attach
from eagerflow.core.tensor import Tensor, alias, filled, wrap
from eagerflow.devices import Device, current, device
from eagerflow.devices.request import Request, asked, request, requested


class CallOp:
    """The op of one call of a function, whose gradients come all at once."""

    no_gradient = None
    arrays = None

    def __init__(self, name: str, gradients: Callable[[list[Any], Record, bool], list[Any]]) -> None:
        self.name = name

        def one(tracked: bool, g: Any, record: Record, position: int) -> Any:
            return g.once(lambda: gradients(g, record, tracked))[position]

        self.plain = self.pullbacks = (functools.partial(one, False),)
        self.tracked = (functools.partial(one, True),)

    def passes(self, position: int) -> bool:
        """Tell that gradients pass to every argument."""
        return True

    def pullback(self, position: int) -> Any:
        """Return what the backward walk calls."""
        return self.plain[0]


def place() -> tuple[Device, Request | None]:
    """Return where new arrays come to be, and what is asked for: gradients of a call are computed there, too."""
    return current(), requested.get()


@contextmanager
def back_at(there: tuple[Device, Request | None]) -> Iterator[None]:
    """Run a block at the `place` of a call."""
    target, wish = there
    if wish is None and not asked.count:
        yield
        return
    with device(target), request(wish):
        yield


def kept(array: Any, home: Device, of_record: Device) -> Any:
    """Return what a record keeps of an array: a Tensor where that is not on the record's device."""
    return array if array is None or home is of_record else wrap(array, home)


def attach_call(op: Any, parents: tuple[Record | None, ...], saved: Any, results: list[Tensor], device: Any) -> Any:
    """Record the call of a function whose gradients come all at once."""
    shapes, dtypes = tuple(r.shape for r in results), tuple(r.dtype for r in results)
    return attach(op, parents, saved, None, shapes, dtypes, device)


def outputs_of(record: Record | None, results: list[Tensor]) -> list[Tensor]:
    """Return handles of the results that belong to `record`, which has several outputs."""
    if record is None:
        return [alias(r) for r in results]
    return [alias(r, output(record, i, r)) for i, r in enumerate(results)]


def weight_of(g: Tensor | None, like: Any) -> Tensor:
    """Return the gradient of a result as users see it; zeros where nothing used the result."""
    shape, dtype, device = like
    if g is None:
        return filled(0, shape, dtype, device)
    return g.conj() if g.dtype.kind == "c" else g
