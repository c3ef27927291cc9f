"""Await sync code, which runs on a thread: what `sync_to_async` makes of a plain function."""

from __future__ import annotations

import asyncio
import sys
from asyncio import get_running_loop
from contextvars import Context, ContextVar, copy_context
from typing import TYPE_CHECKING, Any, ClassVar, Generic, ParamSpec, TypeVar

from asgi_local.lowlevel import TRAVELS, depart

from . import _stall
from ._call import Call, describe
from ._classic_call import HandledCall, on_thread
from ._context import write_back
from ._errors import DeadlockError
from ._frame import loop_thread_executors
from ._home import Home
from ._lending import lend_later
from ._listeners import Observed, listeners
from ._marks import MARK, calls_coroutine
from ._route import Reason, choose
from ._scopes import (
    ThreadSensitiveContext,
    context_to_thread_executor,
    executors,
    place_of,
    thread_sensitive_context,
)
from ._shared_context import SharedContext
from ._state import public_thread, thread
from ._thread_pools import can_enter, default_executor, enter
from ._worker import SensitiveExecutor, own_home
from ._wrapping import Wrapper, adopt_metadata, bind, function_of, hide_annotations

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Coroutine
    from concurrent.futures import Executor
    from weakref import WeakKeyDictionary

_CONTEXT, _PROCESS = Reason.CONTEXT, Reason.PROCESS

P = ParamSpec("P")
R = TypeVar("R")


@hide_annotations
class SyncToAsync(Wrapper, Generic[P, R]):
    """A sync callable as a coroutine function: what `sync_to_async` returns, with the same arguments.

    The hooks and class attributes are asgiref's. Each call looks at them: a subclass or a patch may override
    `__call__` and `thread_handler`, and put executors of its own in their places.
    """

    #: Per thread: `main_event_loop` and `main_event_loop_pid`, the loop that `async_to_sync` on it goes back to.
    threadlocal: ClassVar[threading.local] = public_thread
    #: Runs the sensitive code that has no better place. Any object with a `submit(fn, *args)` may replace it;
    #: `None` stands for the loop's default executor.
    single_thread_executor: ClassVar[Any] = SensitiveExecutor()
    #: The innermost `ThreadSensitiveContext`, or whatever else is a key of `context_to_thread_executor`.
    thread_sensitive_context: ClassVar[ContextVar[ThreadSensitiveContext]] = thread_sensitive_context
    #: Whether to refuse a call that would run on `single_thread_executor`.
    deadlock_context: ClassVar[ContextVar[bool]] = ContextVar("deadlock_context")
    #: The executor of each `ThreadSensitiveContext` that has made a call.
    context_to_thread_executor: ClassVar[WeakKeyDictionary[ThreadSensitiveContext, Executor]] = (
        context_to_thread_executor
    )

    def __init__(
        self,
        func: Callable[P, R],
        thread_sensitive: bool = True,
        executor: Executor | None = None,
        context: Context | None = None,
        *,
        abandon_on_cancel: bool = True,
    ) -> None:
        called: Any = function_of(func)
        if not callable(called) or calls_coroutine(called):
            raise TypeError("sync_to_async can only be applied to sync functions.")
        if thread_sensitive and executor is not None:
            raise TypeError("executor must not be set when thread_sensitive is True")
        if executor is not None and not callable(getattr(executor, "submit", None)):
            raise TypeError(f"executor must be a concurrent.futures.Executor, not {executor!r}")
        if context is not None and type(context) is not Context:  # which cannot be subclassed
            raise TypeError(f"context must be a contextvars.Context, not {context!r}")
        adopt_metadata(self, func)
        self.func = called
        self.context = context
        self._thread_sensitive = thread_sensitive
        self._executor = executor
        self._abandon_on_cancel = abandon_on_cancel
        vars(self).update(MARK)

    async def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function on a thread.

        Returns or raises what the function does. A `StopIteration` arrives as `RuntimeError`, as from any coroutine.

        Raises:
            DeadlockError: When the thread to run on is known to wait for this call.
            RuntimeError: When a `ThreadSensitiveContext` with an executor is over, or the executor is shut down.
        """
        __traceback_hide__ = True
        if listeners and not isinstance(self, Observed):
            from ._observe import observed_sync_to_async  # which stands on this module

            return await observed_sync_to_async(self, args, kwargs)  # type: ignore[no-any-return]  # R, by P
        loop = get_running_loop()
        shared: SharedContext | None = None
        if self.context is not None:
            shared = SharedContext(self.context, loop)
            context = await shared.enter()
        else:
            if not TRAVELS.get():
                depart()  # once for a task: what a Local holds in it is to be seen on other threads
            context = copy_context()
        call: Call | None = None
        try:
            call = self._begin(loop, context, args, kwargs)
            try:
                await call.future
            except asyncio.CancelledError as cancelled:
                await call.outcome_after_cancel(cancelled, self._abandon_on_cancel)
            if shared is None:
                write_back(context, call.baseline)
            if call.error is None:
                return call.result  # type: ignore[no-any-return]  # R, by P
            error = call.take_error()
            assert error is not None
            try:
                raise error
            finally:
                del error
        finally:
            if shared is not None:
                shared.leave()
            # The traceback of what is raised holds this frame, which must hold nothing else: no loop, no thread.
            if call is not None and call.settled:
                call.release()
            del call, context, loop, shared

    def _begin(
        self, loop: asyncio.AbstractEventLoop, context: Context, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Call:
        """Hand the call over to the thread that will run it."""
        place: Any
        if self._thread_sensitive:
            place = self._place(loop)
        else:
            place = self._executor
            if place is None:
                # asyncio keeps its default executor where it can be used directly, at a third of the price.
                place = default_executor(loop)
            place = own_home(place) or place
        # Looked up at each call: whoever replaces the handler must be asked.
        kind: Any = type(self)
        if kind.thread_handler is _THREAD_HANDLER and "thread_handler" not in self.__dict__:
            if type(place) is Home:
                call = Call(loop, context, sys.exception(), self._thread_sensitive, self.func, args, kwargs)
                if place is thread.home:
                    call.run(place)  # in a loop that runs inside sync code on this very thread
                else:
                    self._queue(place, call)
                return call
            if can_enter(place):
                call = Call(loop, context, sys.exception(), self._thread_sensitive, self.func, args, kwargs)
                call.executor = place
                if enter(place, call):
                    lend_later(call)
                    return call
        return self._begin_classic(loop, place, context, args, kwargs)

    def _begin_classic(
        self,
        loop: asyncio.AbstractEventLoop,
        place: Any,
        context: Context,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Call:
        """The same in asgiref's shape, for executors and handlers that are not this package's own."""
        exc_info = sys.exc_info()
        call = HandledCall(loop, context, exc_info[1], self._thread_sensitive, self.func, args, kwargs)
        call.prepare(self.thread_handler, exc_info)
        if type(place) is not Home:
            call.submit_to(place)
            lend_later(call)
        elif place is thread.home:
            call.run(place)
        else:
            self._queue(place, call)
        return call

    def _place(self, loop: asyncio.AbstractEventLoop) -> Any:
        """The `Home` or foreign executor for a sensitive call, or `None` for the loop's default executor."""
        reason, place = choose(
            getattr(executors, "current", None),
            thread_sensitive_context.get(None),
            loop_thread_executors.get(loop),
        )
        if reason is _CONTEXT:
            return place_of(place)
        if reason is _PROCESS:
            if self.deadlock_context.get(False):
                raise DeadlockError(_stall.refusal(self.single_thread_executor))
            executor = self.single_thread_executor
            return own_home(executor) or executor
        return place

    def _queue(self, home: Home, call: Call) -> None:
        if home.running is not None:
            _stall.watch(home, call)
        # A loop that has not yet heard of earlier calls is in the midst of making many.
        while not home.submit(call, not call.inbox.is_woken):
            # What served it has just left: look for the place again.
            place = self._place(call.loop)
            if not isinstance(place, Home):
                raise RuntimeError(f"The thread that was to run {describe(self.func)} has gone.")
            home = place

    def __get__(self, instance: Any, owner: type | None = None) -> Callable[..., Coroutine[Any, Any, R]]:
        return bind(self, self.__wrapped__, instance, owner)  # type: ignore[no-any-return]  # a partial of __call__

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {describe(self.func)}>"

    def thread_handler(
        self,
        loop: asyncio.AbstractEventLoop,
        exc_info: Any,
        task_context: Any,
        func: Any,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        """Run the call, on its thread: `func(*args)`, with `args[0]` a partial of the wrapped function.

        A subclass that overrides it calls `super().thread_handler(loop, *args, **kwargs)`.
        """
        __traceback_hide__ = True
        call: Call | None = getattr(task_context, "call", None)
        if call is not None and not call.taken and not call.begin():
            raise asyncio.CancelledError
        try:
            return on_thread(loop, exc_info[1], task_context, call, func, args, kwargs)
        except StopIteration as stop:
            # An asyncio future refuses it, and up to 3.11 nobody hears of that: the task would wait for ever.
            raise RuntimeError(f"{func!r} raised StopIteration") from stop


_THREAD_HANDLER = vars(SyncToAsync)["thread_handler"]
_CALL = vars(SyncToAsync)["__call__"]
