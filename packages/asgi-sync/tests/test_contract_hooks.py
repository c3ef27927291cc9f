"""Contract: what agents, channels and tests override, replace or patch, and how it is called."""

import asyncio
import contextvars
import functools
import inspect
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest

from asgi_sync import (
    AsyncToSync,
    SyncToAsync,
    ThreadSensitiveContext,
    async_to_sync,
    sync_to_async,
)

pytestmark = pytest.mark.asyncio


def work(*args: Any, **kwargs: Any) -> tuple[Any, ...]:
    return (threading.get_ident(), args, kwargs)


class Recording(SyncToAsync[Any, Any]):
    """Keep the arguments with which ``thread_handler`` was called, and its thread."""

    calls: list[dict[str, Any]]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.calls = []
        super().__init__(*args, **kwargs)

    def thread_handler(
        self, loop: Any, exc_info: Any, task_context: Any, func: Any, *args: Any, **kwargs: Any
    ) -> Any:
        self.calls.append(
            {
                "thread": threading.get_ident(),
                "loop": loop,
                "exc_info": exc_info,
                "task_context": task_context,
                "func": func,
                "args": args,
                "kwargs": kwargs,
            }
        )
        return super().thread_handler(loop, exc_info, task_context, func, *args, **kwargs)


# thread_handler


@pytest.mark.parametrize("thread_sensitive", [True, False])
async def test_thread_handler_is_called_on_the_worker_thread(thread_sensitive: bool) -> None:
    """channels' DatabaseSyncToAsync closes old connections there, before and after."""
    wrapper = Recording(work, thread_sensitive=thread_sensitive)
    thread, _, _ = await wrapper(1)
    (call,) = wrapper.calls
    assert call["thread"] == thread != threading.get_ident()


async def test_thread_handler_gets_the_loop_and_a_list_for_tasks() -> None:
    wrapper = Recording(work)
    await wrapper()
    (call,) = wrapper.calls
    assert call["loop"] is asyncio.get_running_loop()
    assert call["task_context"] == []
    assert call["exc_info"] == (None, None, None)


async def test_thread_handler_gets_the_exception_being_handled() -> None:
    wrapper = Recording(work)
    error = ValueError("boom")
    try:
        raise error
    except ValueError:
        await wrapper()
    assert wrapper.calls[0]["exc_info"][:2] == (ValueError, error)


async def test_thread_handler_gets_func_and_a_partial_of_the_call() -> None:
    """Instrumentation looks at the partial to name the callable that runs."""
    wrapper = Recording(work)
    await wrapper(1, 2, key="value")
    (call,) = wrapper.calls
    (child,) = call["args"]
    assert call["kwargs"] == {}
    assert type(child) is functools.partial
    assert child.func is work
    assert child.args == (1, 2)
    assert child.keywords == {"key": "value"}


async def test_func_is_context_run_or_belongs_to_asgiref_sync() -> None:
    """Pinpoint tells the calls of this library from others by it."""
    wrapper = Recording(work)
    await wrapper()
    func = wrapper.calls[0]["func"]
    is_context_run = isinstance(getattr(func, "__self__", None), contextvars.Context)
    assert is_context_run or func.__module__ == "asgiref.sync"


async def test_keywords_of_the_partial_can_be_taken_out_in_thread_handler(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """New Relic adds a keyword in ``__call__`` and takes it out on the worker thread."""
    original_call = SyncToAsync.__call__
    original_handler = SyncToAsync.thread_handler
    seen: list[Any] = []

    async def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        return await original_call(self, *args, _agent_transaction="T1", **kwargs)

    def thread_handler(
        self: Any, loop: Any, exc_info: Any, task_context: Any, func: Any, *args: Any, **kwargs: Any
    ) -> Any:
        seen.append(args[0].keywords.pop("_agent_transaction"))
        return original_handler(self, loop, exc_info, task_context, func, *args, **kwargs)

    monkeypatch.setattr(SyncToAsync, "__call__", call)
    monkeypatch.setattr(SyncToAsync, "thread_handler", thread_handler)
    _, args, kwargs = await sync_to_async(work)(1, key=2)
    assert (args, kwargs) == ((1,), {"key": 2})
    assert seen == ["T1"]


async def test_an_override_with_the_short_signature_works() -> None:
    """The form in channels: ``def thread_handler(self, loop, *args, **kwargs)``."""
    order: list[str] = []

    class DatabaseLike(SyncToAsync[Any, Any]):
        def thread_handler(self, loop: Any, *args: Any, **kwargs: Any) -> Any:
            order.append("before")
            try:
                return super().thread_handler(loop, *args, **kwargs)
            finally:
                order.append("after")

    assert await DatabaseLike(lambda: order.append("call") or 5)() == 5
    assert order == ["before", "call", "after"]


async def test_an_override_sees_the_exception_of_the_call() -> None:
    seen: list[BaseException] = []

    class Watching(SyncToAsync[Any, Any]):
        def thread_handler(self, loop: Any, *args: Any, **kwargs: Any) -> Any:
            try:
                return super().thread_handler(loop, *args, **kwargs)
            except ValueError as exc:
                seen.append(exc)
                raise

    def fail() -> None:
        raise ValueError("boom")

    with pytest.raises(ValueError, match="boom") as caught:
        await Watching(fail)()
    assert seen == [caught.value]


async def test_an_override_may_replace_the_result() -> None:
    class Doubling(SyncToAsync[Any, Any]):
        def thread_handler(self, loop: Any, *args: Any, **kwargs: Any) -> Any:
            return 2 * super().thread_handler(loop, *args, **kwargs)

    assert await Doubling(lambda: 21)() == 42


async def test_thread_handler_works_inside_the_frame_of_a_sync_caller() -> None:
    """Below ``async_to_sync`` an override is still called, on the caller's thread."""

    class Where(SyncToAsync[Any, Any]):
        def thread_handler(self, loop: Any, *args: Any, **kwargs: Any) -> Any:
            return (threading.get_ident(), super().thread_handler(loop, *args, **kwargs))

    async def inner() -> Any:
        return await Where(threading.get_ident)()

    def outer() -> tuple[int, Any]:
        return threading.get_ident(), async_to_sync(inner)()

    thread, seen = await sync_to_async(outer)()
    assert seen == (thread, thread)


# Replacing methods on the class, at any time


async def test_a_replaced_call_is_honoured_by_wrappers_made_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """APM agents patch the class after applications were imported."""
    wrapper = sync_to_async(work)
    original = SyncToAsync.__call__
    seen: list[tuple[Any, ...]] = []

    async def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        seen.append(args)
        return await original(self, *args, **kwargs)

    await wrapper(1)
    monkeypatch.setattr(SyncToAsync, "__call__", call)
    await wrapper(2)
    monkeypatch.undo()
    await wrapper(3)
    assert seen == [(2,)]


async def test_a_replaced_call_is_honoured_by_methods(monkeypatch: pytest.MonkeyPatch) -> None:
    class Service:
        @sync_to_async
        def work(self, x: int) -> int:
            return x

    service = Service()
    original = SyncToAsync.__call__
    seen: list[tuple[Any, ...]] = []

    async def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        seen.append(args)
        return await original(self, *args, **kwargs)

    monkeypatch.setattr(SyncToAsync, "__call__", call)
    assert await service.work(2) == 2
    assert seen == [(service, 2)]


@pytest.mark.parametrize("thread_sensitive", [True, False])
async def test_a_replaced_thread_handler_is_honoured_by_wrappers_made_before(
    monkeypatch: pytest.MonkeyPatch, thread_sensitive: bool
) -> None:
    wrapper = sync_to_async(work, thread_sensitive=thread_sensitive)
    original = SyncToAsync.thread_handler
    threads: list[int] = []

    def thread_handler(self: Any, *args: Any, **kwargs: Any) -> Any:
        threads.append(threading.get_ident())
        return original(self, *args, **kwargs)

    await wrapper()
    monkeypatch.setattr(SyncToAsync, "thread_handler", thread_handler)
    thread, _, _ = await wrapper()
    monkeypatch.undo()
    await wrapper()
    assert threads == [thread]


async def test_a_thread_handler_set_on_the_instance_is_honoured() -> None:
    wrapper = sync_to_async(work)
    seen: list[str] = []

    def thread_handler(*args: Any, **kwargs: Any) -> Any:
        seen.append("mine")
        return SyncToAsync.thread_handler(wrapper, *args, **kwargs)  # type: ignore[arg-type]

    wrapper.thread_handler = thread_handler  # type: ignore[attr-defined]
    await wrapper()
    assert seen == ["mine"]


async def test_a_replaced_call_of_async_to_sync_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    async def awork(x: int) -> int:
        return x

    wrapper = async_to_sync(awork)
    original = AsyncToSync.__call__
    seen: list[tuple[Any, ...]] = []

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        seen.append(args)
        return original(self, *args, **kwargs)

    monkeypatch.setattr(AsyncToSync, "__call__", call)
    assert await sync_to_async(wrapper)(4) == 4
    assert seen == [(4,)]


def patch_main_wrap(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Replace ``main_wrap`` as New Relic does, and keep what each call was given."""
    original: Callable[..., Any] = AsyncToSync.main_wrap
    calls: list[dict[str, Any]] = []

    def main_wrap(
        self: Any, call_result: Any, exc_info: Any, task_context: Any, context: Any, awaitable: Any
    ) -> Any:
        coroutine = original(self, call_result, exc_info, task_context, context, awaitable)
        calls.append(
            {
                "thread": threading.get_ident(),
                "call_result": call_result,
                "exc_info": exc_info,
                "task_context": task_context,
                "context": list(context),
                "awaitable": awaitable,
                "coroutine": coroutine,
            }
        )
        return coroutine

    monkeypatch.setattr(AsyncToSync, "main_wrap", main_wrap)
    return calls


@pytest.mark.parametrize("below_a_loop", [True, False])
async def test_main_wrap_is_called_on_the_sync_thread_and_returns_a_coroutine(
    monkeypatch: pytest.MonkeyPatch, in_thread: Callable[..., Any], below_a_loop: bool
) -> None:
    """New Relic reads the caller's thread-local state in it."""
    calls = patch_main_wrap(monkeypatch)

    async def awork() -> int:
        return 3

    def caller() -> tuple[int, int]:
        return threading.get_ident(), async_to_sync(awork)()

    if below_a_loop:
        thread, result = await sync_to_async(caller)()
    else:
        thread, result = await asyncio.to_thread(in_thread, caller)
    assert result == 3
    (call,) = calls
    assert call["thread"] == thread
    assert inspect.iscoroutine(call["coroutine"])


async def test_main_wrap_gets_the_future_the_exception_the_context_and_the_awaitable(
    monkeypatch: pytest.MonkeyPatch, in_thread: Callable[..., Any]
) -> None:
    calls = patch_main_wrap(monkeypatch)
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")
    error = KeyError("handled by the caller")

    async def awork() -> int:
        return 3

    def caller() -> None:
        variable.set("from the caller")
        try:
            raise error
        except KeyError:
            async_to_sync(awork)()

    await asyncio.to_thread(in_thread, caller)
    (call,) = calls
    assert call["call_result"].result(timeout=0) == 3
    assert call["exc_info"][1] is error
    assert call["context"][0][variable] == "from the caller"
    assert inspect.isawaitable(call["awaitable"])


async def test_a_main_wrap_of_ones_own_may_do_all_the_work(
    monkeypatch: pytest.MonkeyPatch, in_thread: Callable[..., Any]
) -> None:
    def main_wrap(
        self: Any, call_result: Future[Any], exc_info: Any, task_context: Any, context: Any, awaitable: Any
    ) -> Any:
        async def run() -> None:
            call_result.set_result(("mine", await awaitable))

        return run()

    monkeypatch.setattr(AsyncToSync, "main_wrap", main_wrap)

    async def awork() -> int:
        return 3

    assert await asyncio.to_thread(in_thread, async_to_sync(awork)) == ("mine", 3)
    assert await sync_to_async(async_to_sync(awork))() == ("mine", 3)


async def test_a_replaced_init_of_async_to_sync_is_honoured(
    monkeypatch: pytest.MonkeyPatch, in_thread: Callable[..., Any]
) -> None:
    """Agents wrap the awaitable when the wrapper is made."""
    original = AsyncToSync.__init__

    def init(self: Any, awaitable: Any, *args: Any, **kwargs: Any) -> None:
        @functools.wraps(awaitable)
        async def traced(*inner: Any, **options: Any) -> Any:
            return ("traced", await awaitable(*inner, **options))

        original(self, traced, *args, **kwargs)

    monkeypatch.setattr(AsyncToSync, "__init__", init)

    async def awork(x: int) -> int:
        return x

    assert await asyncio.to_thread(in_thread, async_to_sync(awork), 3) == ("traced", 3)


async def test_a_replaced_exit_of_the_context_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    """ArchiveBox replaces it."""
    exits: list[ThreadSensitiveContext] = []
    original = ThreadSensitiveContext.__aexit__

    async def aexit(self: ThreadSensitiveContext, *args: Any) -> None:
        exits.append(self)
        await original(self, *args)

    monkeypatch.setattr(ThreadSensitiveContext, "__aexit__", aexit)
    async with ThreadSensitiveContext() as context:
        await sync_to_async(work)()
    assert exits == [context]
