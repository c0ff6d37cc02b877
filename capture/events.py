"""Events: a timeline in the Trace Event Format, which trace viewers open."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from eagerflow.capture.graph import CONSTANT, LENGTH, PARAMETER, RECV, SEND, Node, Value
from eagerflow.capture.origins import moved, named
from eagerflow.capture.timeline import DeviceStep, Timeline, Transfer
from eagerflow.core.dims import evaluate


def write(path: Path, noted: Timeline, began: float) -> None:
    """Write a timeline to a file, compressed if its name ends in ``.gz``."""
    text = json.dumps(document(noted, began), separators=(",", ":")).encode()
    path.write_bytes(zlib.compress(text, wbits=31) if path.suffix == ".gz" else text)  # 31: with gzip's header


def document(noted: Timeline, began: float) -> dict[str, Any]:
    """Return a timeline as an object of the Trace Event Format, with times from the moment `began`."""
    return {"traceEvents": _Events(noted, began).events, "displayTimeUnit": "ms"}


class _Events:
    """The events of one timeline."""

    def __init__(self, noted: Timeline, began: float) -> None:
        # Threads go on while the block ends: what they add from now on is not in this trace.
        self.steps = sorted([step for step in noted.steps if any(step.ends)], key=_begin)
        self.transfers = sorted(noted.transfers, key=lambda transfer: transfer.start)
        self.began = min([began, *map(_begin, self.steps), *[transfer.start for transfer in self.transfers]])
        self.process = os.getpid()
        self.events: list[dict[str, Any]] = []
        self._told: dict[Any, tuple[str, dict[str, Any]]] = {}
        self._ends: dict[Any, dict[str, Any]] = {}  # slices of Send and Recv
        self._metadata("process_name", name="eagerflow")
        thread = 0
        for device in sorted({step.device for step in self.steps}, key=lambda d: (d.kind.name, d.index)):
            mine = [step for step in self.steps if step.device is device]
            for row, steps in enumerate(_rows([(_begin(step), _end(step), step) for step in mine])):
                thread += 1
                self._row(thread, f"{device}{f' ({row + 1})' if row else ''}")
                for step in steps:
                    self._step(thread, step)
        channels: dict[str, list[tuple[float, float, Transfer]]] = {}
        for transfer in self.transfers:
            name = f"{transfer.edge.source} → {transfer.edge.target}"
            channels.setdefault(name, []).append((transfer.start, transfer.end, transfer))
        for name, spans in sorted(channels.items()):
            for row, transfers in enumerate(_rows(spans)):
                thread += 1
                self._row(thread, f"{name}{f' ({row + 1})' if row else ''}")
                for transfer in transfers:
                    self._transfer(thread, transfer)

    def _metadata(self, what: str, thread: int = 0, **args: Any) -> None:
        self.events.append({"name": what, "ph": "M", "pid": self.process, "tid": thread, "args": args})

    def _row(self, thread: int, name: str) -> None:
        self._metadata("thread_name", thread, name=name)
        self._metadata("thread_sort_index", thread, sort_index=thread)

    def _time(self, moment: float) -> float:
        """Return a moment in microseconds, rounded to those that the clock can tell apart."""
        return round((moment - self.began) * 1e9) / 1e3

    def _slice(self, thread: int, name: str, kind: str, start: float, end: float, args: Any) -> dict[str, Any]:
        first = self._time(start)
        event = {"name": name, "cat": kind, "ph": "X", "ts": first, "dur": round(self._time(end) - first, 3),
                 "pid": self.process, "tid": thread, "args": args}  # fmt: skip
        self.events.append(event)
        return event

    def _step(self, thread: int, step: DeviceStep) -> None:
        name = f"{step.name or 'step'} {step.number}"
        self._slice(thread, name, "step", _begin(step), _end(step), {"step": step.number})
        sizes = tuple(step.lengths.items())
        for node, start, end in zip(step.nodes, step.starts, step.ends, strict=False):  # a run that failed ends early
            if not end or node.op in (PARAMETER, CONSTANT, LENGTH):
                continue  # nothing ran
            key = (node, sizes)
            if key not in self._told:
                self._told[key] = named(node), _told(node, step.lengths)
            name, args = self._told[key]
            event = self._slice(thread, name, "node", start, end, {**args, "step": step.number})
            if node.op in (SEND, RECV):
                self._ends[node.op, node.attrs["edge"], step.number] = event

    def _transfer(self, thread: int, transfer: Transfer) -> None:
        edge, number = transfer.edge, transfer.number
        args = {"value": edge.name, "bytes": transfer.nbytes, "step": number}
        if edge.spec is not None:
            args |= {"shapes": repr(list(edge.spec.shape)), "dtypes": edge.spec.dtype.name}
        name = edge.name or ("value" if edge.spec is not None else "done")
        event = self._slice(thread, name, "transfer", transfer.start, transfer.end, args)
        sent, received = self._ends.get((SEND, edge, number)), self._ends.get((RECV, edge, number))
        stops = [stop for stop in (sent, event, received) if stop is not None]
        if len(stops) == 1:
            return
        common = {"name": "transfer", "cat": "transfer", "id": f"{number}.{edge.number}.{id(edge):x}"}
        moment = 0.0
        for place, stop in enumerate(stops):
            # An arrow is bound to the slice that is open at its moment; it never leads back in time.
            last = stop["ts"] + stop["dur"]
            first = max(stop["ts"], last - 0.001) if stop is received else stop["ts"]  # a Recv waits before it gets it
            moment = min(last, max(moment, first))
            phase = "s" if place == 0 else "f" if place == len(stops) - 1 else "t"
            end = {"bp": "e"} if phase == "f" else {}
            where = {"pid": self.process, "tid": stop["tid"]}
            self.events.append({**common, "ph": phase, "ts": round(moment, 3), **where, **end})


def _begin(step: DeviceStep) -> float:
    return min(start for start, end in zip(step.starts, step.ends, strict=False) if end)


def _end(step: DeviceStep) -> float:
    return max(step.ends)


def _rows(spans: list[tuple[float, float, Any]]) -> list[list[Any]]:
    """Return what the spans hold in as few rows as it takes for those of a row not to overlap."""
    rows: list[list[Any]] = []
    ends: list[float] = []
    for start, end, what in spans:  # in the order in which they begin
        at = next((i for i, before in enumerate(ends) if before <= start), len(rows))
        if at == len(rows):
            rows.append([])
            ends.append(end)
        rows[at].append(what)
        ends[at] = end
    return rows


def _told(node: Node, lengths: Mapping[str, int]) -> dict[str, Any]:
    """Return what a click on the slice of a node tells."""
    inputs = [evaluate(x.spec, lengths) if isinstance(x, Value) else x for x in node.inputs]
    results = [evaluate(value.spec, lengths) for value in node.outputs]
    args: dict[str, Any] = {
        "op": node.op.name,
        "shapes": _flow([_shape(x) for x in inputs], [_shape(x) for x in results]),
        "dtypes": _flow([_dtype(x) for x in inputs], [_dtype(x) for x in results]),
        "bytes": moved(node, lengths),
        "scope": node.scope,
        "line": node.line,
    }
    if "edge" in node.attrs:
        edge = node.attrs["edge"]
        args |= {"from": repr(edge.source), "to": repr(edge.target), "value": edge.name}
    return args


def _flow(inputs: list[str], results: list[str]) -> str:
    return " → ".join(", ".join(side) for side in (inputs, results) if side)


def _shape(x: Any) -> str:
    return repr(list(x.shape)) if hasattr(x, "shape") else repr(x)


def _dtype(x: Any) -> str:
    return str(x.dtype.name) if hasattr(x, "dtype") else type(x).__name__
