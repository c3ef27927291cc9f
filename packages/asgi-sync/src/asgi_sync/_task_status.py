"""What a task that was started through a portal tells whoever waits for its start."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

if TYPE_CHECKING:
    from concurrent.futures import Future

T = TypeVar("T")


class TaskStatus(Generic[T]):
    """What `BlockingPortal.start_task` gives to the function, as `task_status`: it calls `started` once."""

    def __init__(self, future: Future[T]) -> None:
        self._future = future

    @overload
    def started(self: TaskStatus[None]) -> None: ...
    @overload
    def started(self, value: T) -> None: ...
    def started(self, value: Any = None) -> None:
        """Let `start_task` return, with this value.

        Raises:
            RuntimeError: The second time.
        """
        if self._future.cancelled():
            return  # nobody waits any more; the task's own cancellation is on its way
        if self._future.done():
            raise RuntimeError("started() was called already")
        self._future.set_result(value)
