"""Waiting frames lend their thread to calls whose executor has none left, and each call runs once."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from asgi_sync import SyncToAsync, async_to_sync, sync_to_async

InThread = Callable[..., Any]


class OtherPool(ThreadPoolExecutor):
    """Not the standard library's own: it is asked through its `submit`."""


class Patient(SyncToAsync[..., Any]):
    """Waits, when it has run the call, until the pool has come to what was queued before."""

    def thread_handler(self, loop: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().thread_handler(loop, *args, **kwargs)
        finally:
            self.ran()

    ran: Callable[[], object]


class PatientAlone(Patient):
    """The same, and does not ask this package to run the call."""

    def thread_handler(
        self, loop: Any, exc_info: Any, task_context: Any, func: Any, *args: Any, **kwargs: Any
    ) -> Any:
        try:
            return func(*args, **kwargs)
        finally:
            self.ran()


@pytest.mark.parametrize("kind", [ThreadPoolExecutor, OtherPool])
@pytest.mark.parametrize("wrapper", [SyncToAsync, Patient, PatientAlone])
def test_a_call_on_a_lent_thread_runs_once(
    in_thread: InThread, kind: type[ThreadPoolExecutor], wrapper: Any
) -> None:
    """The pool has a thread free again while the call is on the one that was lent: it must not run it too."""
    runs: list[str] = []
    blocked, unblock = threading.Event(), threading.Event()

    async def main() -> None:
        pool = kind(2, thread_name_prefix="pool")

        def block() -> None:
            blocked.set()
            assert unblock.wait(30)

        def let_the_pool_go_on() -> None:
            if not unblock.is_set():
                unblock.set()
                # The other thread gets to whatever is queued before this.
                pool.submit(int).result(30)

        def inner() -> None:
            runs.append(threading.current_thread().name)
            if wrapper is SyncToAsync:
                let_the_pool_go_on()

        async def nested() -> None:
            crossing = wrapper(inner, thread_sensitive=False, executor=pool)
            crossing.ran = let_the_pool_go_on
            await crossing()

        with pool:
            blocking = asyncio.ensure_future(sync_to_async(block, thread_sensitive=False, executor=pool)())
            await asyncio.to_thread(blocked.wait, 30)
            await sync_to_async(async_to_sync(nested), thread_sensitive=False, executor=pool)()
            await blocking

    in_thread(main())
    assert len(runs) == 1, runs


def test_a_handler_that_runs_the_call_itself_is_waited_for(in_thread: InThread) -> None:
    """`abandon_on_cancel=False` holds for it, too: nobody asked this package whether the call may begin."""
    begun, end = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        assert end.wait(30)

    async def main() -> bool:
        crossing = PatientAlone(work, thread_sensitive=False, abandon_on_cancel=False)
        crossing.ran = lambda: None
        task = asyncio.ensure_future(crossing())
        await asyncio.to_thread(begun.wait, 30)
        task.cancel()
        await asyncio.sleep(0.01)
        waits = not task.done()
        end.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        return waits

    with ThreadPoolExecutor(2) as pool:

        async def with_pool() -> bool:
            asyncio.get_running_loop().set_default_executor(pool)
            return await main()

        assert in_thread(with_pool())
