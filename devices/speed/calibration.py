"""Rates of the devices that are here: measured once and kept on disk, or as their kinds declare them."""

from __future__ import annotations

import hashlib
import json
import math
import platform
import sys
import time
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from eagerflow.devices import disk, registry
from eagerflow.devices.device import Device, find
from eagerflow.devices.speed.measuring import hand_over, measure, measure_link, pairs
from eagerflow.devices.speed.rates import Link, Rates

FORMAT = 1  # of the files; another number makes the old ones unused
PATIENCE = 3.0  # seconds until it is said what takes so long

_Found = tuple[dict[str, Rates], dict[str, Link]]
_measured: _Found = {}, {}  # by this process


@dataclass(frozen=True)
class Calibration:
    """What `calibrate` measured; printed, a table.

    Parameters
    ----------
    rates : dict
        Rates by device.
    links : dict
        Links by pairs of devices.
    notes : list of str
        What could not be measured and is as declared, and whether the results could be kept.

    Examples
    --------
    >>> import eagerflow as ef
    >>> cpu = ef.devices.find("cpu:0")
    >>> print(ef.devices.Calibration({cpu: ef.devices.Rates(4e10, 2e9, 8e9, 1e-6)}))
    device  GFLOP/s, products  GFLOP/s, elements  GB/s  launch, µs
    cpu:0                  40                  2     8           1
    """

    rates: dict[Device, Rates]
    links: dict[tuple[Device, Device], Link] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        rows: list[tuple[str, ...]] = [("device", "GFLOP/s, products", "GFLOP/s, elements", "GB/s", "launch, µs")]
        for device, r in self.rates.items():
            figures = r.contraction / 1e9, r.arithmetic / 1e9, r.bandwidth / 1e9, r.launch * 1e6
            rows.append((str(device), *(f"{figure:.3g}" for figure in figures)))
        text = _table(rows)
        if self.links:
            rows = [("from", "to", "latency, µs", "GB/s")]
            for (source, target), join in self.links.items():
                speed = "one memory" if math.isinf(join.bandwidth) else f"{join.bandwidth / 1e9:.3g}"
                rows.append((str(source), str(target), f"{join.latency * 1e6:.3g}", speed))
            text += "\n\n" + _table(rows, left=2)
        return "\n".join([text, *self.notes])

    __repr__ = __str__


def _table(rows: list[tuple[str, ...]], left: int = 1) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = zip(row, widths, strict=True)
        lines.append("  ".join(c.ljust(w) if i < left else c.rjust(w) for i, (c, w) in enumerate(cells)).rstrip())
    return "\n".join(lines)


def calibrate(devices: Iterable[str | Device] | None = None, *, keep: bool = True) -> Calibration:
    """Measure how fast devices compute, and how fast arrays pass between them.

    It takes about a second per device. Placers use the results from then on, in later processes as well; without a
    calibration they use what device kinds declare.

    Parameters
    ----------
    devices : iterable of str or Device, optional
        The devices; all that are here by default.
    keep : bool
        Whether later processes on this machine shall use the results as well. They are kept in the cache folder of the
        user, or in the one that the environment variable ``EAGERFLOW_CACHE`` names.

    Returns
    -------
    Calibration
        The figures. A figure that a device's namespace is not able to give is the one that its kind declares; a note
        says so.

    Raises
    ------
    DeviceError
        One of the devices is not here.

    Examples
    --------
    >>> import eagerflow as ef
    >>> figures = ef.devices.calibrate(["cpu:0"], keep=False)
    >>> figures.rates[ef.devices.find("cpu:0")] == ef.devices.rates("cpu:0")
    True
    """
    chosen = list(dict.fromkeys(find(device) for device in (registry.available() if devices is None else devices)))
    progress = _Progress(len(chosen))
    found = Calibration({})
    rates: dict[str, Rates] = {}
    for device in chosen:
        key = _key(device)
        if key not in rates:
            progress.say(device)
            rates[key], notes = measure(device)
            found.notes.extend(notes)
        found.rates[device] = rates[key]
    hand = hand_over() if len(chosen) > 1 else 0.0
    links: dict[str, Link] = {}
    for source, target in pairs(chosen):
        key = f"{_key(source)} > {_key(target)}"
        if key not in links:
            progress.say(f"{source} to {target}")
            try:
                links[key] = measure_link(source, target, hand)
            except Exception as error:  # of a kind of the user's
                links[key] = _declared(source, target)
                found.notes.append(f"{source} to {target} is as declared: {type(error).__name__}: {error}")
        found.links[source, target] = links[key]
    _measured[0].update(rates)
    _measured[1].update(links)
    if keep:
        path = _path()
        _load.cache_clear()
        before = _load(path)
        if not disk.write(path, _write(before[0] | rates, before[1] | links)):
            found.notes.append(f"not kept for later processes: {path} cannot be written")
        _load.cache_clear()
    registry.changed()
    return found


class _Progress:
    """Says on the error output what is being measured, once it takes long."""

    def __init__(self, count: int) -> None:
        self.end = time.perf_counter() + PATIENCE * max(1, count)

    def say(self, what: object) -> None:
        if time.perf_counter() > self.end:
            sys.stderr.write(f"calibrating: {what}\n")


def rates(device: str | Device) -> Rates:
    """Return how fast a device computes.

    Parameters
    ----------
    device : str or Device
        The device.

    Returns
    -------
    Rates
        What `calibrate` measured in this process or an earlier one, otherwise what the device's kind declares.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.devices.rates("cpu:0").launch > 0
    True
    """
    found = find(device)
    key = _key(found)
    return _measured[0].get(key) or _load(_path())[0].get(key) or found.kind.rates(found.index)


def link(source: str | Device, target: str | Device) -> Link:
    """Return how fast arrays pass from one device to another.

    Parameters
    ----------
    source, target : str or Device
        The devices.

    Returns
    -------
    Link
        What `calibrate` measured in this process or an earlier one, otherwise what the devices' kinds declare: between
        kinds by way of the host.

    Examples
    --------
    >>> import eagerflow as ef
    >>> ef.devices.link("cpu:0", "cpu:0")
    Link(latency=0.0, bandwidth=inf)
    """
    start, end = find(source), find(target)
    if start is end:
        return Link(0.0, math.inf)
    key = f"{_key(start)} > {_key(end)}"
    return _measured[1].get(key) or _load(_path())[1].get(key) or _declared(start, end)


def _declared(source: Device, target: Device) -> Link:
    """Return the link that the kinds declare."""
    if source.kind is target.kind:
        return source.kind.link(source.index, target.index)
    out, back = source.kind.link(source.index, None), target.kind.link(target.index, None)
    latency, least = out.latency + back.latency, min(out.bandwidth, back.bandwidth)
    if math.isinf(max(out.bandwidth, back.bandwidth)):  # one of them is the host
        return Link(latency, least)
    return Link(latency, out.bandwidth * back.bandwidth / (out.bandwidth + back.bandwidth))


def _key(device: Device) -> str:
    """Return what a device is called among all that may ever be here.

    The logical devices of the host are alike, and have one name: differences between them would be accidents.
    """
    name = device.kind.name if device.on_host else str(device)
    return f"{name} of {device.kind.count()}, {device.kind.model(device.index)}"


@cache
def _surroundings() -> str:
    """Return what figures depend on that is not the device's."""
    return f"{FORMAT}, {platform.machine()}, {sys.implementation.cache_tag}"


def _path() -> Path:
    name = hashlib.sha256(_surroundings().encode()).hexdigest()[:16]
    return disk.folder("rates") / f"{name}.json"


def _write(rates: dict[str, Rates], links: dict[str, Link]) -> bytes:
    kept = {
        "surroundings": _surroundings(),
        "rates": {key: [r.contraction, r.arithmetic, r.bandwidth, r.launch] for key, r in rates.items()},
        "links": {
            key: [join.latency, None if math.isinf(join.bandwidth) else join.bandwidth] for key, join in links.items()
        },
    }
    return json.dumps(kept, indent=1).encode()


@cache
def _load(path: Path) -> _Found:
    """Return what a file holds; nothing where it is none of ours."""
    try:
        data = path.read_bytes()
    except OSError:
        return {}, {}
    try:
        kept = json.loads(data)
        if kept["surroundings"] != _surroundings():
            raise ValueError(f"it was made for {kept['surroundings']}, and this is {_surroundings()}")
        found = {key: Rates(*_figures(values, 4)) for key, values in kept["rates"].items()}
        joins = {key: Link(*_figures([*values[:1], values[1] or math.inf], 2)) for key, values in kept["links"].items()}
    except (ValueError, TypeError, KeyError, AttributeError, IndexError) as error:
        warnings.warn(f"the calibration {path} is not used: {error!r}; delete it", RuntimeWarning, stacklevel=3)
        return {}, {}
    return found, joins


def _figures(values: Any, count: int) -> list[float]:
    """Return figures of a file, which nobody has checked."""
    figures = [float(value) for value in values]
    if len(figures) != count or not all(figure > 0 for figure in figures):
        raise ValueError(f"expected {count} positive figures, got {values!r}")
    return figures
