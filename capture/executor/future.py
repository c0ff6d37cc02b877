"""Futures of runs. The module that they come from is not imported before somebody submits a run."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from eagerflow.errors import CancelledError


@cache
def future_type() -> Any:
    """Return the class of futures."""
    from concurrent import futures

    class Cancelled(CancelledError, futures.CancelledError):
        """A run that was cancelled, for those who look for either error."""

    class Future(futures.Future[Any]):
        """What a run will have given, which can be cancelled after it has begun, too.

        It is done when all parts of the run have ended.
        """

        def __init__(self, name: str, pack: Callable[[list[Any]], Any]) -> None:
            super().__init__()
            self.name = name
            self.pack = pack  # makes of the arrays what the function returns
            self.step: Any = None  # None when the run is over

        def cancel(self) -> bool:
            """Stop the run. Return whether that is what ends it."""
            step = self.step
            if step is None:
                return self.cancelled()
            stopped: bool = step.stop(Cancelled(f"{self.name}: the run was cancelled"))
            return stopped or type(step.error) is Cancelled

        def running(self) -> bool:
            """Tell whether the run is not over."""
            return not self.done()

        def result(self, timeout: float | None = None) -> Any:
            """Return what the run gave, once it is over."""
            try:
                return super().result(timeout)
            except futures.CancelledError:
                raise Cancelled(f"{self.name}: the run was cancelled") from None

        def exception(self, timeout: float | None = None) -> BaseException | None:
            """Return what went wrong in the run, once it is over; None if nothing did."""
            try:
                return super().exception(timeout)
            except futures.CancelledError:
                raise Cancelled(f"{self.name}: the run was cancelled") from None

        def deliver(self) -> None:
            """Take over the end of the run."""
            step, self.step = self.step, None
            error, step.error = step.error, None
            if type(error) is Cancelled:
                super().cancel()
                self.set_running_or_notify_cancel()
            elif error is not None:
                self.set_exception(error)
            else:
                self.set_result(self.pack(step.results))

    return Future
