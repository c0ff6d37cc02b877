"""Workers: one thread per device of this process, which runs parts of steps one after the other.

Notes
-----
No run can hang, however many steps are in flight. The parts of a step are put into the queues of all their devices at
once, under one lock, so that all devices see the steps in one order. Within a step the nodes of all parts have one
order, too, in which each Send stands before its Recv (see `eagerflow.capture.partition`). So all nodes of all steps
are in one order, by step and then by place, and each thread runs its own in it. Suppose that some are left and none
goes on, and look at the first of those left. All before it have run, its thread has nothing else to do, and a Send
never waits; if it is a Recv, its Send has run. So it goes on. By induction all of them run. Nothing of this changes
where threads wait for the end of an atomic step: its nodes stand before those of all later steps. Channels wait for
nothing but their own transfers.

What runs in a thread of a device and starts a step itself (a callback that calls a captured function) would break the
order, as its own thread cannot come to the new step before it is through. The parts of such a step get threads of
their own. What this cannot see is a callback that waits for another thread of the program, which waits for a step on
the same device: such a callback waits for itself.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from queue import SimpleQueue

from eagerflow.devices import Device

Task = Callable[["Worker"], None]


class Worker:
    """The thread of a device."""

    def __init__(self, name: str, tasks: SimpleQueue[Task | None]) -> None:
        self.tasks = tasks
        self.replaced = False
        self.thread = threading.Thread(target=self._serve, name=name, daemon=True)
        self.thread.start()

    def _serve(self) -> None:
        _here.worker = self
        while not self.replaced:
            task = self.tasks.get()
            if task is None:
                return
            task(self)
            del task  # it holds arrays, which nobody may hold when nothing runs


_here = threading.local()
_workers: dict[Device, Worker] = {}
_lock = threading.Lock()


def launch(tasks: Iterable[tuple[Device, Task]]) -> None:
    """Let the threads of devices run tasks; tasks that are given together come at the same place in all queues."""
    if getattr(_here, "worker", None) is not None:
        for device, task in tasks:
            own: SimpleQueue[Task | None] = SimpleQueue()
            own.put(task)
            own.put(None)
            Worker(f"eagerflow {device} (nested)", own)
        return
    with _lock:
        for device, task in tasks:
            worker = _workers.get(device)
            if worker is None:
                worker = _workers[device] = Worker(f"eagerflow {device}", SimpleQueue())
            worker.tasks.put(task)


def abandon(worker: Worker) -> None:
    """Let another thread take over from one that does not come back; when it does, it ends."""
    with _lock:
        for device, known in _workers.items():
            if known is worker:
                worker.replaced = True
                _workers[device] = Worker(worker.thread.name, worker.tasks)
                return


def _after_fork() -> None:
    """Begin anew in the child: threads do not survive a fork, and a lock may be held for ever."""
    global _lock, _workers
    _lock, _workers = threading.Lock(), {}


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
