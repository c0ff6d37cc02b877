"""Workers: one thread per device of this process, which runs parts of steps one after the other.

Notes
-----
A device has a holder, who runs its parts: its thread, or, while the thread has nothing to do, a caller who runs the
part of the step that he waits for anyway, and so saves being woken. Tasks that come in the meantime wait for him.

No run can hang, however many steps are in flight. The parts of a step are given to all their devices at once, under
one lock, so that all devices see the steps in one order; a caller takes a device under the same lock, and only while
nothing that was given to it is left, so that his part has its place in this order, too. Within a step the nodes of all
parts have one order, in which each Send stands before its Recv (see `eagerflow.capture.partition`). So all nodes of
all steps are in one order, by step and then by place, and each holder runs those of his device in it. Suppose that
some are left and none goes on, and look at the first of those left. All before it have run, so the device of its part
has let go of all earlier ones; who holds it, a thread or a caller, has nothing else to do, and a Send never waits; if
it is a Recv, its Send has run. So it goes on. By induction all of them run. Nothing of this changes where holders wait
for the end of an atomic step: its nodes stand before those of all later steps. Channels wait for nothing but their own
transfers.

Whoever holds a device and starts a step himself (a callback that calls a captured function) would break the order, as
his device cannot come to the new step before he is through. The parts of such a step get threads of their own. What
this cannot see is a callback that waits for another thread of the program, which waits for a step on the same device:
such a callback waits for itself.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Sequence

from eagerflow.devices import Device

Task = Callable[["Worker"], None]


class Worker:
    """The thread of a device, or one for a single task.

    Attributes
    ----------
    tasks : deque of Task
        What the device was given and nobody has begun.
    holder : Worker, Turn or None
        Who runs something on the device just now.
    replaced : bool
        Whether another thread has taken over.
    """

    def __init__(self, name: str, only: Task | None = None) -> None:
        self.tasks: deque[Task] = deque()
        self.holder: Worker | Turn | None = None
        self.replaced = False
        self._bell = threading.Lock()  # open when there may be something to do
        self._bell.acquire()
        target, args = (self._serve, ()) if only is None else (self._run, (only,))
        self.thread = threading.Thread(target=target, args=args, name=name, daemon=True)
        self.thread.start()

    def ring(self) -> None:
        """Wake the thread if there is something for it. Only under the lock."""
        if self.tasks and self.holder is None and self._bell.locked():
            self._bell.release()

    def _serve(self) -> None:
        while not self.replaced:
            self._bell.acquire()
            while task := self._next():
                self._run(task)
                del task  # it holds arrays, which nobody may hold when nothing runs

    def _next(self) -> Task | None:
        """Take the device and its next task, or let go of it."""
        with _lock:
            if self.replaced or isinstance(self.holder, Turn):
                return None
            self.holder = self if self.tasks else None
            return self.tasks.popleft() if self.tasks else None

    def _run(self, task: Task) -> None:
        _here.holder = self
        task(self)


class Turn:
    """What a thread of the program holds while it runs a part, or all of them, itself.

    Attributes
    ----------
    index : int or None
        Which of the tasks is its own; None if no device was free.
    """

    __slots__ = ("_workers", "index")

    def __init__(self) -> None:
        self.index: int | None = None
        self._workers: tuple[Worker, ...] = ()

    def take(self, *workers: Worker) -> None:
        """Hold devices. Only under the lock."""
        self._workers = workers
        for worker in workers:
            worker.holder = self
        _here.holder = self

    def end(self) -> None:
        """Let the threads of the devices go on. An interrupt may come at any place: it can be called again."""
        if not self._workers:
            return
        _here.holder = None
        with _lock:
            for worker in self._workers:
                if worker.holder is self:
                    worker.holder = None
                worker.ring()
        self._workers = ()


_here = threading.local()
_workers: dict[Device, Worker] = {}
_lock = threading.Lock()


def launch(tasks: Sequence[tuple[Device, Task]], turn: Turn | None = None, own: Sequence[int] = ()) -> None:
    """Let devices run tasks; those that are given together come at the same place in the order of every device.

    Of the tasks `own`, the caller gets the first whose device is free: the turn tells which.
    """
    if getattr(_here, "holder", None) is not None:
        for device, task in tasks:
            Worker(f"eagerflow {device} (nested)", task)
        return
    with _lock:
        workers = [_workers.get(device) or _started(device) for device, _ in tasks]
        if turn is not None:
            for index in own:
                if workers[index].holder is None and not workers[index].tasks:
                    turn.index = index
                    turn.take(workers[index])
                    break
        for worker, (_, task) in zip(workers, tasks, strict=True):
            if turn is None or worker.holder is not turn:
                worker.tasks.append(task)
                worker.ring()


def hold(devices: Sequence[Device], turn: Turn) -> bool:
    """Let the caller run parts on all these devices himself, if all are free; tell whether they are.

    Whoever holds a device already has his nested step outside the order of devices, and so holds nothing for it.
    """
    if getattr(_here, "holder", None) is not None:
        return True
    with _lock:
        workers = [_workers.get(device) or _started(device) for device in devices]
        free = not any(worker.holder is not None or worker.tasks for worker in workers)
        if free:
            turn.take(*workers)
    return free


def _started(device: Device) -> Worker:
    worker = _workers[device] = Worker(f"eagerflow {device}")
    return worker


def abandon(worker: Worker) -> None:
    """Let another thread take over from one that does not come back; when it does, it ends."""
    with _lock:
        for device, known in _workers.items():
            if known is worker:
                worker.replaced = True
                fresh = _started(device)
                fresh.tasks, worker.tasks = worker.tasks, deque()
                fresh.ring()
                return


def _after_fork() -> None:
    """Begin anew in the child: threads do not survive a fork, and a lock may be held for ever."""
    global _lock, _workers
    _lock, _workers = threading.Lock(), {}


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
