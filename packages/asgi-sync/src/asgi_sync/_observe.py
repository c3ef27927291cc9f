"""The way of a call that listeners are told of.

The bridge is replaced, for that one call, by one that does the same with a callable that takes the time.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
import time
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from ._async_to_sync import _CALL as _CALL_ASYNC
from ._async_to_sync import _MAIN_WRAP, AsyncToSync
from ._events import CrossingFinished, CrossingStarted, Direction, Mode, Outcome, Place
from ._frame import loop_thread_executors
from ._home import Home
from ._listeners import Observed, in_progress, is_listening, listeners, tell
from ._names import executor_name, loop_name, name_of, place_here
from ._route import Reason, choose
from ._scopes import async_single_thread_context, executors, thread_sensitive_context
from ._sync_to_async import _CALL as _CALL_SYNC
from ._sync_to_async import _THREAD_HANDLER, SyncToAsync
from ._thread_lane import Failure
from ._thread_pools import can_enter
from ._waiting import parent_loop
from ._worker import own_home

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Self

_ids = itertools.count(1)
#: The crossing whose called code is running.
_current: ContextVar[int | None] = ContextVar("asgi_sync.crossing", default=None)


class Crossing:
    """One observed crossing: tells the listeners of it, and takes the time on the other side."""

    began: float | None = None
    ended: float | None = None
    place: Place | None = None

    def __init__(self, started: CrossingStarted) -> None:
        self._started = started
        # Those that hear of the start hear of the end.
        self._ears = tuple(listeners)
        in_progress[started.id] = self
        for ears in self._ears:
            if ears.started is not None:
                tell(ears.started, started)

    def finish(self, error: BaseException | None) -> None:
        began, ended = self.began, self.ended
        event = CrossingFinished(
            started=self._started,
            outcome=self._outcome(error, began is not None and ended is None),
            error=error,
            place=self.place,
            began=began,
            ended=ended,
            time=time.perf_counter(),
        )
        try:
            for ears in self._ears:
                if ears.finished is not None:
                    tell(ears.finished, event)
        finally:
            del error, event  # its traceback may hold this frame

    @staticmethod
    def _outcome(error: BaseException | None, runs: bool) -> Outcome:
        if error is None:
            return Outcome.RETURNED
        if isinstance(error, asyncio.CancelledError):
            return Outcome.ABANDONED if runs else Outcome.CANCELLED
        return Outcome.RAISED

    def timed(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """A sync callable, timed. It has its name, for messages."""

        def call(*args: Any, **kwargs: Any) -> Any:
            __traceback_hide__ = True
            self.place = place_here()
            # In a context of its own (`context=`) the crossing is not known yet.
            token = None if _current.get() == self._started.id else _current.set(self._started.id)
            self.began = time.perf_counter()
            try:
                return func(*args, **kwargs)
            finally:
                self.ended = time.perf_counter()
                if token is not None:
                    _current.reset(token)

        return functools.update_wrapper(call, func, updated=())

    def timed_async(self, func: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
        """An async callable, timed."""

        async def call(*args: Any, **kwargs: Any) -> Any:
            __traceback_hide__ = True
            self.place = place_here(asyncio.get_running_loop())
            self.began = time.perf_counter()
            try:
                return await func(*args, **kwargs)
            finally:
                self.ended = time.perf_counter()

        return functools.update_wrapper(call, func, updated=())

    def __enter__(self) -> Self:
        """What is called until the exit is inside the crossing."""
        self._token = _current.set(self._started.id)
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        try:
            _current.reset(self._token)
        except ValueError:
            pass  # a coroutine that never ended is closed by the garbage collector, in any context
        if error is not None:
            self.finish(error)


class _ObservedSyncToAsync(Observed, SyncToAsync[Any, Any]):
    """Does what another one does, in the place that was chosen."""

    __call__ = _CALL_SYNC  # not what somebody has put in its place, who has been called already

    def __init__(self, original: SyncToAsync[..., Any]) -> None:
        vars(self).update(vars(original))
        self._original = original
        self._chosen: Any = None
        self._is_chosen = False

    def choose(self, loop: asyncio.AbstractEventLoop) -> tuple[Reason, Any]:
        """Why where. A refusal is kept for the crossing, which it is the outcome of."""
        original = self._original
        if not self._thread_sensitive:
            executor = self._executor
            reason = Reason.DEFAULT_EXECUTOR if executor is None else Reason.EXECUTOR
            return reason, own_home(executor) or executor
        if hasattr(original, "_lane"):
            reason = Reason.SAME_THREAD
        else:
            reason, _ = choose(
                getattr(executors, "current", None),
                thread_sensitive_context.get(None),
                loop_thread_executors.get(loop),
            )
        self._chosen, self._is_chosen = original._place(loop), True
        return reason, self._chosen

    def time_with(self, crossing: Crossing, place: Any) -> None:
        """Have the crossing take the time where nobody sees that something was put in between."""
        handler = self._original.thread_handler
        if getattr(handler, "__func__", None) is not _THREAD_HANDLER:
            vars(self)["thread_handler"] = crossing.timed(handler)  # which looks at the callable
            return
        self.func = crossing.timed(self.func)
        if not (place is None or type(place) is Home or can_enter(place)):
            vars(self)["thread_handler"] = handler  # whose owner the executor looks at

    def _place(self, loop: asyncio.AbstractEventLoop) -> Any:
        if self._is_chosen:
            self._is_chosen = False
            return self._chosen
        return self._original._place(loop)


async def observed_sync_to_async(
    original: SyncToAsync[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """What `original(*args, **kwargs)` does, with the listeners told of it."""
    __traceback_hide__ = True
    bridge = _ObservedSyncToAsync(original)
    if is_listening():
        return await bridge(*args, **kwargs)
    loop = asyncio.get_running_loop()
    try:
        reason, place = bridge.choose(loop)
        executor = executor_name(place)
    except RuntimeError:
        # It is refused; the crossing, which fails of the same, tells the caller.
        reason, place, executor = Reason.PROCESS, None, "none"
    started = CrossingStarted(
        id=next(_ids),
        parent=_current.get(),
        direction=Direction.SYNC_TO_ASYNC,
        name=name_of(original.func, args),
        mode=Mode.THREAD_SENSITIVE if original._thread_sensitive else Mode.ANY_THREAD,
        executor=executor,
        reason=reason,
        caller=place_here(loop),
        time=time.perf_counter(),
    )
    crossing = Crossing(started)
    bridge.time_with(crossing, place)
    try:
        with crossing:
            result = await bridge(*args, **kwargs)
        # A step of an iterator or a context manager brings what was raised as its result.
        crossing.finish(result.error if isinstance(result, Failure) else None)
        return result
    finally:
        del bridge, crossing, loop, place


class _ObservedAsyncToSync(Observed, AsyncToSync[Any, Any]):
    """Does what another one does."""

    __call__ = _CALL_ASYNC

    def __init__(self, original: AsyncToSync[..., Any]) -> None:
        vars(self).update(vars(original))
        wrap = original.main_wrap
        if getattr(wrap, "__func__", None) is not _MAIN_WRAP:
            vars(self)["main_wrap"] = wrap

    def choose(self) -> tuple[Mode, Reason, str]:
        """What was asked for, and where and why the coroutine will run, as `_waiting` looks for it."""
        if self._host is not None:
            return Mode.BOUND_LOOP, Reason.BOUND_LOOP, "an event loop that was chosen before"
        if self.force_new_loop:
            return Mode.NEW_LOOP, Reason.NEW_LOOP, "a new event loop"
        parent = parent_loop()
        if parent is not None:
            return Mode.ANY_LOOP, Reason.PARENT_LOOP, f"event loop {loop_name(parent)}"
        if async_single_thread_context.get() is not None:
            return Mode.ANY_LOOP, Reason.SINGLE_THREAD_CONTEXT, "the context's event loop"
        return Mode.ANY_LOOP, Reason.OWN_LOOP, "an event loop for this thread"


def observed_async_to_sync(
    original: AsyncToSync[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """What `original(*args, **kwargs)` does, with the listeners told of it."""
    __traceback_hide__ = True
    bridge = _ObservedAsyncToSync(original)
    if is_listening():
        return bridge(*args, **kwargs)
    mode, reason, executor = bridge.choose()
    started = CrossingStarted(
        id=next(_ids),
        parent=_current.get(),
        direction=Direction.ASYNC_TO_SYNC,
        name=name_of(original.awaitable, args),
        mode=mode,
        executor=executor,
        reason=reason,
        caller=place_here(),
        time=time.perf_counter(),
    )
    crossing = Crossing(started)
    bridge.awaitable = crossing.timed_async(original.awaitable)
    try:
        with crossing:
            result = bridge(*args, **kwargs)
        crossing.finish(None)
        return result
    finally:
        del bridge, crossing
