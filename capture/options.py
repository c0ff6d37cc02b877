"""Options: how a captured function is made ready, and how it runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Options(NamedTuple):
    """What the user chose for a captured function; see `eagerflow.function`.

    Parameters
    ----------
    passes : sequence of str, optional
        Names of the passes, in order; the usual ones if not given.
    devices : sequence of str, optional
        Names of the devices, partial ones too, among which the placer chooses; those of the kinds that the function
        uses if not given.
    compress : str, optional
        ``"bfloat16"``: as what float32 and float64 values travel between devices.
    atomic : bool
        Whether a run that fails leaves Variables as they were before it.
    timeout : float, optional
        Seconds after which a run is given up.
    """

    passes: Sequence[str] | None = None
    devices: Sequence[str] | None = None
    compress: str | None = None
    atomic: bool = False
    timeout: float | None = None


USUAL = Options()
