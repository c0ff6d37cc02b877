"""Kernels for kinds whose namespaces lack some of what kernels use: found out, or computed on the host."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from eagerflow.core.sampling import Draw
from eagerflow.devices import CPU0, Kind, current
from eagerflow.errors import DeviceError

if TYPE_CHECKING:
    from eagerflow.core.op import Op


def try_sample(op: Op, kernel: Callable[..., Any], kind: Kind) -> None:
    """Run a kernel on samples of its op, to know before it is needed whether the kind has all that it takes.

    Raises
    ------
    DeviceError
        The kind has not.
    """
    for seed in range(2):
        sample = op.sample(Draw(seed))
        try:
            with kind.activate(0), np.errstate(all="ignore"):
                inputs = [kind.from_host(x, 0) if isinstance(x, np.ndarray) else x for x in sample.inputs]
                kernel(*inputs, **sample.attrs)
        except DeviceError:
            raise
        except Exception:
            # Whatever else is wrong is wrong with the sample, or will be said when the kernel is called in earnest.
            continue


class HostFallback:
    """A kernel that goes to the host, with copies there and back, where its kind has no kernel.

    Parameters
    ----------
    op : Op
        The op.
    kernel : callable or None
        The kernel over the kind's namespace, which may find something lacking; None if there is none.
    kind : Kind
        The kind.
    """

    def __init__(self, op: Op, kernel: Callable[..., Any] | None, kind: Kind) -> None:
        self.op = op
        self.kernel = kernel
        self.kind = kind

    def __call__(self, *arrays: Any, **attrs: Any) -> Any:
        """Run the kernel of the kind, or the host's."""
        if self.kernel is not None:
            try:
                return self.kernel(*arrays, **attrs)
            except DeviceError:
                pass  # perhaps for these attributes alone: the next call may find all that it needs
        kind = self.kind
        own = kind.array_type
        indices = [kind.index_of(x) for x in arrays if isinstance(x, own)]
        here = current()
        index = indices[0] if indices else here.index if here.kind is kind else 0
        hosts = [kind.to_host(x) if isinstance(x, own) else x for x in arrays]
        found = self.op.kernel_for(CPU0)(*hosts, **attrs)
        if self.op.outputs == 1:
            return kind.from_host(np.asarray(found), index)
        return tuple(kind.from_host(np.asarray(item), index) for item in found)
