"""Device names: ``cpu:0``, ``cuda:1``, ``/job:worker/task:1/device:cuda:0``."""

from __future__ import annotations

import re
from dataclasses import dataclass

from eagerflow.errors import DeviceError

_SHORT = re.compile(r"([a-z][a-z0-9_]*)(?::(\d+))?", re.IGNORECASE)
_PART = re.compile(r"/(job|task|device):([^/]+)")


@dataclass(frozen=True, slots=True)
class DeviceName:
    """The parts of a device name; ``None`` where the name leaves a part open.

    Parameters
    ----------
    kind : str or None
        Device kind, in lower case.
    index : int or None
        Number of the device among those of its kind.
    job : str or None
        Job of a cluster.
    task : int or None
        Task of the job.

    Examples
    --------
    >>> DeviceName.parse("/job:worker/task:1/device:cuda:0")
    DeviceName(kind='cuda', index=0, job='worker', task=1)
    >>> str(DeviceName.parse("CPU:1"))
    'cpu:1'
    """

    kind: str | None = None
    index: int | None = None
    job: str | None = None
    task: int | None = None

    @classmethod
    def parse(cls, text: str) -> DeviceName:
        """Read a short name (``cuda:1``) or a full one (``/job:…/task:…/device:…``).

        Raises
        ------
        DeviceError
            The text is not a device name.
        """
        if not isinstance(text, str):
            raise DeviceError(f"a device is named by a string such as 'cpu:0', got {text!r}")
        if not text.startswith("/"):
            kind, index = _parse_short(text, text)
            return cls(kind, index)
        parts = dict(_PART.findall(text))
        if "".join(f"/{key}:{value}" for key, value in parts.items()) != text:
            raise _unreadable(text)
        task = parts.get("task")
        if task is not None and not task.isdigit():
            raise _unreadable(text)
        device: tuple[str | None, int | None] = (None, None)
        if "device" in parts:
            device = _parse_short(parts["device"], text)
        return cls(*device, parts.get("job"), None if task is None else int(task))

    def __str__(self) -> str:
        short = self.kind or ""
        if self.kind and self.index is not None:
            short += f":{self.index}"
        if self.job is None and self.task is None:
            return short
        text = f"/job:{self.job}" if self.job is not None else ""
        text += f"/task:{self.task}" if self.task is not None else ""
        return text + (f"/device:{short}" if short else "")


def _parse_short(text: str, whole: str) -> tuple[str, int | None]:
    match = _SHORT.fullmatch(text)
    if match is None:
        raise _unreadable(whole)
    return match[1].lower(), None if match[2] is None else int(match[2])


def _unreadable(text: str) -> DeviceError:
    return DeviceError(
        f"cannot read the device name {text!r}; expected 'cpu', 'cuda:1' or '/job:worker/task:1/device:cuda:0'"
    )
