"""A limit on how long a block of asynchronous code may take. Deprecated: use `asyncio.timeout`.

asgiref deprecates its copy of this class; it is here for code that has not moved yet.
"""

import asyncio
import math
import numbers
import warnings
from types import TracebackType

__all__ = ["timeout"]


class timeout:  # noqa: N801 - the name is asgiref's
    """Cancel the block when it takes longer than `timeout` seconds, and raise `TimeoutError` from it.

    Deprecated: `asyncio.timeout` does the same. This class may also be used with a plain `with` statement,
    and its clock starts when the block is entered.

    >>> import asyncio, warnings
    >>> async def main() -> str:
    ...     try:
    ...         async with timeout(0.01):
    ...             await asyncio.Event().wait()
    ...     except TimeoutError:
    ...         return "too slow"
    >>> with warnings.catch_warnings(action="ignore"):
    ...     asyncio.run(main())
    'too slow'

    Args:
        timeout: Seconds. `None` sets no limit; zero or less cancels the block at its first suspension.
        loop: Deprecated. The event loop whose current task enters the block; the running one by default.

    Raises:
        TypeError: `timeout` is neither a real number nor `None`.
        ValueError: `timeout` is not a number (NaN).
        RuntimeError: There is no running event loop, the block is entered outside a task, or twice at a time.
    """

    def __init__(self, timeout: float | None, *, loop: asyncio.AbstractEventLoop | None = None) -> None:
        warnings.warn(
            "asgiref.timeout.timeout is deprecated: use asyncio.timeout",
            DeprecationWarning,
            stacklevel=2,
        )
        _check(timeout)
        if loop is not None:
            warnings.warn(
                "the loop argument of timeout() is deprecated: leave it out", DeprecationWarning, stacklevel=2
            )
        self._timeout = timeout
        self._loop = asyncio.get_running_loop() if loop is None else loop
        self._task: asyncio.Task[object] | None = None
        self._cancel_requests_before = 0
        self._deadline: float | None = None
        self._timer: asyncio.Handle | None = None
        self._expired = False

    def __enter__(self) -> "timeout":
        if self._task is not None:
            raise RuntimeError("this timeout is in use already: make a new one for each block")
        if self._timeout is None:
            return self
        task = asyncio.current_task(self._loop)
        if task is None:
            raise RuntimeError("a timeout cancels the task that it is used in: enter it inside a task")
        self._task = task
        self._cancel_requests_before = task.cancelling()
        if self._timeout > 0:
            self._deadline = self._loop.time() + self._timeout
            self._timer = self._loop.call_at(self._deadline, self._expire)
        else:
            self._timer = self._loop.call_soon(self._expire)
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        task, self._task = self._task, None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if task is None or not self._expired:
            return
        # Take our own request to cancel back, as asyncio.timeout does: a TaskGroup around the block would
        # otherwise believe that its task is being cancelled. A request by anybody else must go on.
        only_ours = task.uncancel() <= self._cancel_requests_before
        if only_ours and exc_type is not None and issubclass(exc_type, asyncio.CancelledError):
            raise TimeoutError from exc

    async def __aenter__(self) -> "timeout":
        return self.__enter__()

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.__exit__(exc_type, exc, traceback)

    @property
    def expired(self) -> bool:
        """Whether the time was over before the block was."""
        return self._expired

    @property
    def remaining(self) -> float | None:
        """Seconds until the block is cancelled, at least zero; `None` when no clock was started."""
        if self._deadline is None:
            return None
        return max(self._deadline - self._loop.time(), 0.0)

    def _expire(self) -> None:
        assert self._task is not None  # leaving the block cancels the timer
        self._task.cancel()
        self._expired = True


def _check(seconds: object) -> None:
    if seconds is None:
        return
    if not isinstance(seconds, numbers.Real):
        raise TypeError(f"timeout takes a number of seconds or None, not {seconds!r}")
    if math.isnan(seconds):
        raise ValueError("timeout takes a number of seconds or None, not NaN")
