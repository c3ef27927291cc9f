"""Cancelling: the policy, what is swallowed, what is lost and what is not."""

import asyncio
import concurrent.futures
import contextlib
import gc
import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest

from asgi_sync import SyncToAsync, ThreadSensitiveContext, async_to_sync, sync_to_async

InThread = Callable[..., Any]
PATIENCE = 40


async def until(event: threading.Event) -> None:
    """Wait for a threading event without blocking the loop."""
    while not event.is_set():
        await asyncio.sleep(0.001)


class Blocking:
    """Sync code that says when it runs and goes on when it is told to; always let go at the end."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.entered = threading.Event()
        self.release = threading.Event()
        self.left = threading.Event()
        self.error = error

    def __call__(self) -> str:
        self.entered.set()
        self.release.wait(40)
        try:
            if self.error is not None:
                raise self.error
            return "done"
        finally:
            self.left.set()

    def __enter__(self) -> "Blocking":
        return self

    def __exit__(self, *args: object) -> None:
        self.release.set()


def collected(loop: asyncio.AbstractEventLoop) -> list[dict[str, Any]]:
    """What reaches the exception handler of the loop from now on."""
    contexts: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda loop, context: contexts.append(context))
    return contexts


# abandon_on_cancel=True, the default


@pytest.mark.parametrize("thread_sensitive", [True, False])
def test_a_cancelled_task_goes_on_at_once(in_thread: InThread, thread_sensitive: bool) -> None:
    async def main() -> None:
        async with ThreadSensitiveContext():
            with Blocking() as work:
                task = asyncio.create_task(sync_to_async(work, thread_sensitive=thread_sensitive)())
                await until(work.entered)
                task.cancel()
                await asyncio.wait([task], timeout=PATIENCE)
                assert task.cancelled()
                assert not work.left.is_set()

    in_thread(main())


def test_an_abandoned_call_that_succeeds_is_silent(
    in_thread: InThread, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> list[Any]:
        contexts = collected(asyncio.get_running_loop())
        with Blocking() as work:
            task = asyncio.create_task(sync_to_async(work)())
            await until(work.entered)
            task.cancel()
            await asyncio.wait([task])
        await until(work.left)
        await sync_to_async(int)()  # the thread has finished with it
        await asyncio.sleep(0)
        gc.collect()
        return contexts

    with caplog.at_level(logging.DEBUG, "asyncio"):
        assert in_thread(main()) == []
    assert [r for r in caplog.records if r.levelno >= logging.WARNING] == []


@pytest.mark.parametrize("thread_sensitive", [True, False])
def test_the_exception_of_an_abandoned_call_reaches_the_exception_handler(
    in_thread: InThread, thread_sensitive: bool
) -> None:
    """asgiref 3.13.0 loses it: nobody ever hears of it."""
    error = ValueError("after it was abandoned")

    async def main() -> list[dict[str, Any]]:
        contexts = collected(asyncio.get_running_loop())
        with Blocking(error) as work:
            task = asyncio.create_task(sync_to_async(work, thread_sensitive=thread_sensitive)())
            await until(work.entered)
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled()
        for _ in range(2000):
            if contexts:
                break
            await asyncio.sleep(0.001)
        return contexts

    contexts = in_thread(main())
    assert [context["exception"] for context in contexts] == [error]
    assert "shielded" not in contexts[0]["message"]


def test_an_abandoned_call_that_raises_after_the_loop_closed_disturbs_nobody(
    run_program: Callable[..., str],
) -> None:
    errors: list[str] = []
    out = run_program(
        """
        import asyncio, threading
        from asgi_sync import sync_to_async

        entered, release, left = threading.Event(), threading.Event(), threading.Event()

        def work():
            entered.set()
            release.wait(40)
            left.set()
            raise ValueError("after the loop closed")

        async def main():
            task = asyncio.create_task(sync_to_async(work)())
            while not entered.is_set():
                await asyncio.sleep(0.001)
            task.cancel()
            await asyncio.wait([task])

        asyncio.run(main())
        release.set()
        left.wait(40)
        print(asyncio.run(sync_to_async(lambda: "still works")()))
        """,
        errors=errors,
    )
    assert out == "still works\n"
    assert "Event loop is closed" not in errors[0]
    assert "Exception in thread" not in errors[0]


def test_cancelling_nested_code_logs_nothing_about_shielded_futures(
    in_thread: InThread, caplog: pytest.LogCaptureFixture
) -> None:
    """asyncio.shield reports an exception that comes after its outer future was cancelled."""

    async def main() -> list[dict[str, Any]]:
        contexts = collected(asyncio.get_running_loop())
        entered = asyncio.Event()

        async def innermost() -> None:
            entered.set()
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                raise ValueError("instead of being cancelled") from None

        task = asyncio.create_task(sync_to_async(async_to_sync(innermost))())
        await entered.wait()
        task.cancel()
        with pytest.raises(ValueError, match="instead of being cancelled"):
            await task
        del task
        gc.collect()
        await asyncio.sleep(0)
        return contexts

    assert in_thread(main()) == []
    assert "shielded" not in caplog.text


def test_a_call_cancelled_before_it_starts_never_runs(in_thread: InThread) -> None:
    """The sensitive thread is busy; a call that waits for it and is cancelled is taken out."""
    ran: list[int] = []

    async def main() -> None:
        with Blocking() as work:
            first = asyncio.create_task(sync_to_async(work)())
            await until(work.entered)
            second = asyncio.create_task(sync_to_async(ran.append)(1))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            second.cancel()
            await asyncio.wait([second], timeout=PATIENCE)
            assert second.cancelled()
        await first
        await sync_to_async(int)()

    in_thread(main())
    assert ran == []


def test_a_task_cancelled_before_the_call_never_calls(in_thread: InThread) -> None:
    ran: list[int] = []

    async def main() -> None:
        async def body() -> None:
            asyncio.current_task().cancel()  # type: ignore[union-attr]
            await sync_to_async(ran.append)(1)

        with pytest.raises(asyncio.CancelledError):
            await asyncio.create_task(body())
        await sync_to_async(int)()

    in_thread(main())
    assert len(ran) <= 1  # it may have begun: what matters is that the cancellation is not lost


# abandon_on_cancel=False


def test_the_policy_is_keyword_only() -> None:
    with pytest.raises(TypeError):
        SyncToAsync(int, True, None, None, False)  # type: ignore[call-arg, misc]
    assert isinstance(SyncToAsync(int, abandon_on_cancel=False), SyncToAsync)
    assert isinstance(sync_to_async(abandon_on_cancel=False)(int), SyncToAsync)


@pytest.mark.parametrize("thread_sensitive", [True, False])
def test_without_abandoning_the_task_waits_for_the_thread(
    in_thread: InThread, thread_sensitive: bool
) -> None:
    async def main() -> None:
        with Blocking() as work:
            call = sync_to_async(work, thread_sensitive=thread_sensitive, abandon_on_cancel=False)
            task = asyncio.create_task(call())
            await until(work.entered)
            task.cancel()
            await asyncio.wait([task], timeout=0.05)
            assert not task.done()
            task.cancel()  # a second request changes nothing
            await asyncio.wait([task], timeout=0.05)
            assert not task.done()
            work.release.set()
            await asyncio.wait([task], timeout=PATIENCE)
            assert work.left.is_set()
            assert task.cancelled()

    in_thread(main())


def test_without_abandoning_an_exception_is_not_lost(in_thread: InThread) -> None:
    """The task is cancelled all the same; the exception is in its chain or reaches the loop's handler."""
    error = ValueError("while it was waited for")

    async def main() -> tuple[BaseException, list[Any]]:
        contexts = collected(asyncio.get_running_loop())
        caught: list[BaseException] = []

        async def body(work: Blocking) -> None:
            try:
                await sync_to_async(work, abandon_on_cancel=False)()
            except BaseException as exc:
                caught.append(exc)
                raise

        with Blocking(error) as work:
            task = asyncio.create_task(body(work))
            await until(work.entered)
            task.cancel()
            await asyncio.sleep(0)
            work.release.set()
            await asyncio.wait([task], timeout=PATIENCE)
            assert task.cancelled()
        return caught[0], [context.get("exception") for context in contexts]

    caught, handled = in_thread(main())
    assert isinstance(caught, asyncio.CancelledError)
    assert error in (caught.__cause__, caught.__context__, *handled)


def test_without_abandoning_a_timeout_still_ends_as_a_timeout(in_thread: InThread) -> None:
    async def main() -> None:
        with Blocking() as work:

            async def let_go(timeout: asyncio.Timeout) -> None:
                await until(work.entered)
                timeout.reschedule(asyncio.get_running_loop().time())
                while not timeout.expired():
                    await asyncio.sleep(0)
                work.release.set()

            with pytest.raises(TimeoutError):
                async with asyncio.timeout(None) as timeout:
                    helper = asyncio.create_task(let_go(timeout))
                    await sync_to_async(work, abandon_on_cancel=False)()
            assert work.left.is_set()
            assert asyncio.current_task().cancelling() == 0  # type: ignore[union-attr]
            await helper

    in_thread(main())


def test_without_abandoning_nested_async_code_is_still_cancelled(in_thread: InThread) -> None:
    """What can be cancelled is: otherwise a disconnect would wait for a coroutine that sleeps for an hour."""

    async def main() -> None:
        entered = asyncio.Event()

        async def innermost() -> None:
            entered.set()
            await asyncio.sleep(3600)

        task = asyncio.create_task(sync_to_async(async_to_sync(innermost), abandon_on_cancel=False)())
        await entered.wait()
        task.cancel()
        await asyncio.wait([task], timeout=PATIENCE)
        assert task.cancelled()

    in_thread(main())


# Swallowing


def test_sync_code_may_swallow_the_cancellation(in_thread: InThread) -> None:
    async def main() -> tuple[str, bool]:
        entered = asyncio.Event()

        async def innermost() -> None:
            entered.set()
            await asyncio.sleep(3600)

        def work() -> str:
            try:
                async_to_sync(innermost)()
            except asyncio.CancelledError:
                return "swallowed"
            return "not cancelled"

        task = asyncio.create_task(sync_to_async(work)())
        await entered.wait()
        task.cancel()
        return await task, task.cancelled()

    assert in_thread(main()) == ("swallowed", False)


def test_after_swallowing_the_next_bridged_call_works(in_thread: InThread) -> None:
    """As in asyncio: a cancellation is delivered once."""

    async def main() -> list[str]:
        entered = asyncio.Event()

        async def innermost() -> None:
            entered.set()
            await asyncio.sleep(3600)

        async def afterwards() -> str:
            await asyncio.sleep(0.001)
            return "afterwards"

        def work() -> str:
            with contextlib.suppress(asyncio.CancelledError):
                async_to_sync(innermost)()
            return async_to_sync(afterwards)()

        async def body() -> list[str]:
            log = [await sync_to_async(work)()]
            await asyncio.sleep(0)
            log.append(await sync_to_async(lambda: "next")())
            return log

        task = asyncio.create_task(body())
        await entered.wait()
        task.cancel()
        return await task

    assert in_thread(main()) == ["afterwards", "next"]


def test_async_code_may_swallow_the_cancellation(in_thread: InThread) -> None:
    async def main() -> str:
        entered = asyncio.Event()

        async def innermost() -> str:
            entered.set()
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                return "swallowed"
            return "not cancelled"

        task = asyncio.create_task(sync_to_async(async_to_sync(innermost))())
        await entered.wait()
        task.cancel()
        return await task

    assert in_thread(main()) == "swallowed"


@pytest.mark.parametrize("swallow", [True, False])
def test_a_timeout_around_the_call_ends_as_it_should(in_thread: InThread, swallow: bool) -> None:
    """asyncio.timeout looks at Task.cancelling(): a swallowed request is no TimeoutError, another one is."""

    async def main() -> str:
        async def innermost() -> None:
            timeout.reschedule(asyncio.get_running_loop().time())
            await asyncio.sleep(3600)

        def work() -> str:
            try:
                async_to_sync(innermost)()
            except asyncio.CancelledError:
                if not swallow:
                    raise
            return "swallowed"

        task = asyncio.current_task()
        assert task is not None
        try:
            async with asyncio.timeout(None) as timeout:
                result = await sync_to_async(work)()
        except TimeoutError:
            result = "timeout"
        assert task.cancelling() == 0
        await asyncio.sleep(0)
        return result

    assert in_thread(main()) == ("swallowed" if swallow else "timeout")


def test_a_timeout_inside_the_innermost_code_tells_its_own_cancellation_apart(in_thread: InThread) -> None:
    """Cancelled from outside, an inner asyncio.timeout that has not expired is no TimeoutError."""

    async def main() -> None:
        entered = asyncio.Event()

        async def innermost() -> None:
            async with asyncio.timeout(3600):
                entered.set()
                await asyncio.sleep(3600)

        task = asyncio.create_task(sync_to_async(async_to_sync(innermost))())
        await entered.wait()
        task.cancel()
        await asyncio.wait([task], timeout=PATIENCE)
        assert task.cancelled()

    in_thread(main())


def test_a_timeout_inside_the_innermost_code_expires(in_thread: InThread) -> None:
    async def main() -> None:
        async def innermost() -> None:
            async with asyncio.timeout(0.01):
                await asyncio.sleep(3600)

        with pytest.raises(TimeoutError):
            await sync_to_async(async_to_sync(innermost))()
        assert asyncio.current_task().cancelling() == 0  # type: ignore[union-attr]

    in_thread(main())


def test_a_task_group_around_the_call_ends_as_it_should(in_thread: InThread) -> None:
    """A sibling fails; the group cancels the call and reports the sibling alone."""
    error = ValueError("sibling")

    async def main() -> None:
        entered = asyncio.Event()
        cleaned = asyncio.Event()

        async def innermost() -> None:
            entered.set()
            try:
                await asyncio.sleep(3600)
            finally:
                cleaned.set()

        async def fails() -> None:
            await entered.wait()
            raise error

        with pytest.raises(BaseExceptionGroup) as caught:
            async with asyncio.TaskGroup() as group:
                group.create_task(sync_to_async(async_to_sync(innermost))())
                group.create_task(fails())
        assert caught.value.exceptions == (error,)
        assert cleaned.is_set()

    in_thread(main())


def test_a_task_group_whose_body_swallows_still_raises(in_thread: InThread) -> None:
    error = ValueError("sibling")

    async def main() -> str:
        entered = asyncio.Event()
        result = ""

        async def innermost() -> None:
            entered.set()
            await asyncio.sleep(3600)

        def work() -> str:
            try:
                async_to_sync(innermost)()
            except asyncio.CancelledError:
                return "swallowed"
            return "not cancelled"

        async def fails() -> None:
            await entered.wait()
            raise error

        with pytest.raises(BaseExceptionGroup) as caught:
            async with asyncio.TaskGroup() as group:
                group.create_task(fails())
                result = await sync_to_async(work)()
        assert caught.value.exceptions == (error,)
        return result

    assert in_thread(main()) == "swallowed"


def test_wait_for_around_nested_code(in_thread: InThread) -> None:
    async def main() -> None:
        async def innermost() -> None:
            await asyncio.sleep(3600)

        with pytest.raises(TimeoutError):
            await asyncio.wait_for(sync_to_async(async_to_sync(innermost))(), 0.02)

    in_thread(main())


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_cancelling_goes_through_every_level_to_the_innermost_task(in_thread: InThread, depth: int) -> None:
    """Every level sees the CancelledError and may await while it cleans up."""

    async def main() -> list[int]:
        entered = asyncio.Event()
        cleaned: list[int] = []

        async def descend(level: int) -> None:
            try:
                if level == 0:
                    entered.set()
                    await asyncio.sleep(3600)
                else:
                    await sync_to_async(lambda: async_to_sync(descend)(level - 1))()
            except asyncio.CancelledError:
                await asyncio.sleep(0.001)
                cleaned.append(level)
                raise

        task = asyncio.create_task(descend(depth))
        await entered.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return cleaned

    assert in_thread(main()) == list(range(depth + 1))


def test_cancelling_reaches_code_below_a_forced_new_loop(in_thread: InThread) -> None:
    """It runs in another thread on another loop.

    asgiref 3.13.0 cancels that task from the wrong thread and awaits it on the wrong loop.
    """

    async def main() -> bool:
        entered, cleaned = threading.Event(), threading.Event()

        async def innermost() -> None:
            entered.set()
            try:
                await asyncio.sleep(3600)
            finally:
                cleaned.set()

        task = asyncio.create_task(sync_to_async(async_to_sync(innermost, force_new_loop=True))())
        await until(entered)
        task.cancel()
        await asyncio.wait([task], timeout=PATIENCE)
        return task.cancelled()

    assert in_thread(main())


# The type of what is raised


def test_a_cancelled_error_raised_by_async_code_stays_one(in_thread: InThread) -> None:
    error = asyncio.CancelledError("its own")

    async def fail() -> None:
        raise error

    with pytest.raises(asyncio.CancelledError) as caught:
        in_thread(async_to_sync(fail))
    assert type(caught.value) is asyncio.CancelledError
    assert caught.value.args == ("its own",)


def test_a_cancelled_error_raised_by_sync_code_stays_one(in_thread: InThread) -> None:
    def fail() -> None:
        raise asyncio.CancelledError("its own")

    async def main() -> None:
        with pytest.raises(asyncio.CancelledError) as caught:
            await asyncio.wait_for(sync_to_async(fail)(), PATIENCE)
        assert type(caught.value) is asyncio.CancelledError
        assert asyncio.current_task().cancelling() == 0  # type: ignore[union-attr]

    in_thread(main())


def test_the_cancelled_error_of_a_concurrent_future_passes_unconverted(in_thread: InThread) -> None:
    """It says that somebody cancelled a future, not this task. asgiref 3.13.0 turns it into asyncio's."""
    error = concurrent.futures.CancelledError("a future was cancelled")

    def fail() -> None:
        raise error

    async def main() -> None:
        with pytest.raises(concurrent.futures.CancelledError) as caught:
            await sync_to_async(fail)()
        assert caught.value is error

    in_thread(main())


@pytest.mark.parametrize(
    "error",
    [TimeoutError("own"), concurrent.futures.InvalidStateError("own"), concurrent.futures.BrokenExecutor()],
)
def test_an_exception_of_concurrent_futures_passes_as_it_is(
    in_thread: InThread, error: BaseException
) -> None:
    """asgiref 3.13.0 makes a new TimeoutError without traceback on 3.11, and a new InvalidStateError."""

    def fail() -> None:
        raise error

    async def main() -> None:
        with pytest.raises(type(error)) as caught:
            await sync_to_async(fail)()
        assert caught.value is error

    in_thread(main())


# Contexts


def test_cancelling_inside_a_context_is_as_quick_as_outside(in_thread: InThread) -> None:
    """Leaving the context does not wait for the abandoned call. asgiref 3.13.0 waits until it ends."""

    async def main() -> None:
        async def request(work: Blocking) -> None:
            async with ThreadSensitiveContext():
                await sync_to_async(work)()

        with Blocking() as work:
            task = asyncio.create_task(request(work))
            await until(work.entered)
            task.cancel()
            await asyncio.wait([task], timeout=PATIENCE)
            assert task.cancelled()
            assert not work.left.is_set()

    in_thread(main())


def test_leaving_a_context_never_blocks_the_loop(in_thread: InThread) -> None:
    """The block ends while its thread is still busy with an abandoned call. asgiref 3.13.0 waits for it."""

    async def main() -> None:
        with Blocking() as work:
            async with ThreadSensitiveContext():
                task = asyncio.create_task(sync_to_async(work)())
                await until(work.entered)
                task.cancel()
                await asyncio.wait([task], timeout=PATIENCE)
            assert not work.left.is_set()

    in_thread(main())


def test_leaving_a_context_while_a_task_still_uses_it(in_thread: InThread) -> None:
    """The call that is running ends normally. asgiref 3.13.0 waits for it before the block can end."""

    async def main() -> str:
        with Blocking() as work:
            async with ThreadSensitiveContext():
                task = asyncio.create_task(sync_to_async(work)())
                await until(work.entered)
            work.release.set()
            return await task

    assert in_thread(main()) == "done"


def test_a_context_abandoned_in_the_middle_of_a_call_does_not_lend_its_thread_on(
    in_thread: InThread,
) -> None:
    """The busy thread of a context that was left is not given to another context."""

    async def main() -> tuple[int, int]:
        thread: list[int] = []
        with Blocking() as work:

            def busy() -> None:
                thread.append(threading.get_ident())
                work()

            async def request() -> None:
                async with ThreadSensitiveContext():
                    await sync_to_async(busy)()

            task = asyncio.create_task(request())
            await until(work.entered)
            task.cancel()
            await asyncio.wait([task], timeout=PATIENCE)
            async with ThreadSensitiveContext():
                other = await asyncio.wait_for(sync_to_async(threading.get_ident)(), PATIENCE)
            return thread[0], other

    busy_thread, other_thread = in_thread(main())
    assert busy_thread != other_thread
