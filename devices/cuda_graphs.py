"""Whether captured functions on GPUs are replayed as CUDA graphs."""

from __future__ import annotations

from eagerflow.devices.registry import kinds


def set_cuda_graphs(on: bool) -> None:
    """Choose whether captured functions that run on one GPU alone are replayed as CUDA graphs.

    Parameters
    ----------
    on : bool
        Whether their second run is recorded and later ones are one launch each, where that can be. At first it is so.
        ``concrete.source`` tells of a function whether it is replayed, or why not. A recorded function keeps memory of
        its own: copies of its arguments and Variables, and all that it computes.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.config.set_cuda_graphs(False)
    >>> ef.config.set_cuda_graphs(True)
    """
    kinds()["cuda"].records = bool(on)
