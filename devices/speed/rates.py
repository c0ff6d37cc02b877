"""Rates: how fast a device computes, and how fast arrays pass between two devices."""

from __future__ import annotations

from typing import NamedTuple


class Rates(NamedTuple):
    """How fast one device computes.

    Parameters
    ----------
    contraction : float
        Floating-point operations per second in products of matrices.
    arithmetic : float
        Floating-point operations per second elsewhere.
    bandwidth : float
        Bytes per second that are read and written.
    launch : float
        Seconds that a kernel costs whatever it does.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.devices.Rates(1e11, 5e9, 1e10, 1e-6).seconds("contraction", 2e9, 1e6)
    0.020001
    """

    contraction: float
    arithmetic: float
    bandwidth: float
    launch: float

    def seconds(self, fusion: str, flops: float, moved: float) -> float:
        """Return how long a kernel takes, bound by arithmetic or by memory.

        Parameters
        ----------
        fusion : str
            Fusion class of its op.
        flops : float
            Floating-point operations.
        moved : float
            Bytes read and written.
        """
        rate = self.contraction if fusion == "contraction" else self.arithmetic
        return self.launch + max(flops / rate, moved / self.bandwidth)


class Link(NamedTuple):
    """How fast arrays pass from one device to another.

    Parameters
    ----------
    latency : float
        Seconds for the smallest array.
    bandwidth : float
        Bytes per second; infinite between devices of one memory.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.devices.Link(1e-5, 1e9).seconds(1_000_000)
    0.00101
    """

    latency: float
    bandwidth: float

    def seconds(self, nbytes: float) -> float:
        """Return how long an array of so many bytes takes."""
        return self.latency + nbytes / self.bandwidth
