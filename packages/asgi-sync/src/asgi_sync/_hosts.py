"""Where a sync frame's coroutine runs if it is not to be looked for: a loop that was chosen before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from ._loops import LoopThread
from ._scopes import AsyncSingleThreadContext, async_single_thread_context
from ._waiting import parent_loop, run_in_parent, wait

if TYPE_CHECKING:
    import asyncio

    from ._frame import Frame


class Host(Protocol):
    """One event loop."""

    def run(self, frame: Frame) -> None:
        """Run the frame's coroutine in the loop and serve the thread until it has ended."""

    def release(self) -> None:
        """It is not needed any more. From any thread; waits for nothing."""


class LoopGoneError(RuntimeError):
    """The loop that was to go on with something has ended."""


class ParentLoop:
    """A loop that is not ours: its task waits for the sync code that runs here."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def run(self, frame: Frame) -> None:
        __traceback_hide__ = True
        if not self._loop.is_running() or not run_in_parent(frame, self._loop):
            raise LoopGoneError("The event loop that this began in has stopped or is closed.")

    def release(self) -> None:
        """It goes on without us."""


class ScopeLoop:
    """The loop of an `AsyncSingleThreadContext`."""

    def __init__(self, scope: AsyncSingleThreadContext) -> None:
        self._scope = scope

    def run(self, frame: Frame) -> None:
        __traceback_hide__ = True
        if not self._scope.is_entered:
            raise LoopGoneError("The AsyncSingleThreadContext that this began in is over.")
        self._scope.run(frame)
        wait(frame)

    def release(self) -> None:
        """It lasts as long as its block."""


class OwnLoop:
    """A loop in a thread of its own, until it is released."""

    def __init__(self, loop_thread: LoopThread | None = None) -> None:
        self.loop_thread = loop_thread or LoopThread(is_shared=True)

    def run(self, frame: Frame) -> None:
        __traceback_hide__ = True
        if not self.loop_thread.submit(frame):
            raise LoopGoneError(
                "The event loop that this began in has been closed, "
                "or stayed behind in the process that was forked."
            )
        wait(frame)

    def release(self) -> None:
        self.loop_thread.close()


def host_for_this_call() -> Any:
    """The loop in which `async_to_sync` would run a coroutine now, to stay with it."""
    parent = parent_loop()
    if parent is not None:
        return ParentLoop(parent)
    scope = async_single_thread_context.get()
    return OwnLoop() if scope is None else ScopeLoop(scope)
