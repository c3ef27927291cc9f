"""Context managers on the other side: entered and left on one thread, or in one task."""

import asyncio
import contextlib
import inspect
import threading
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar

import pytest

from asgi_sync import (
    AsyncSingleThreadContext,
    async_to_sync,
    async_to_sync_context_manager,
    start_blocking_portal,
    sync_to_async,
    sync_to_async_context_manager,
)

variable: ContextVar[str] = ContextVar("variable")
PATIENCE = 40


class Resource:
    """A context manager that notes who enters and leaves it, and may be held up in both."""

    def __init__(self, suppress=False):
        self.log = []
        self.suppress = suppress
        self.begun, self.may_go_on = threading.Event(), threading.Event()
        self.left = threading.Event()
        self.wait_in = None

    def _wait(self, name):
        if self.wait_in == name:
            self.begun.set()
            assert self.may_go_on.wait(PATIENCE)

    def __enter__(self):
        self._wait("enter")
        self.log.append(("enter", threading.current_thread()))
        return self

    def __exit__(self, kind, error, traceback):
        self._wait("exit")
        self.log.append(("exit", threading.current_thread()))
        self.error = error
        self.left.set()
        return self.suppress


@pytest.mark.parametrize("sensitive", [True, False])
def test_entered_and_left_on_one_thread(sensitive):
    resource = Resource()

    async def main():
        async with sync_to_async_context_manager(resource, thread_sensitive=sensitive) as value:
            assert value is resource
        async with sync_to_async_context_manager(threading.RLock(), thread_sensitive=sensitive):
            pass

    asyncio.run(main())
    (first, one), (last, two) = resource.log
    assert (first, last) == ("enter", "exit")
    assert one is two is not threading.current_thread()


def test_a_contextmanager_function():
    threads = []

    @sync_to_async
    @contextmanager
    def block(value):
        """Documented."""
        threads.append(threading.current_thread())
        token = variable.set(value)
        try:
            yield value
        finally:
            variable.reset(token)
            threads.append(threading.current_thread())

    async def main():
        async with block("inside") as value:
            assert value == variable.get() == "inside"
        assert variable.get("nothing") == "nothing"
        with pytest.raises(LookupError, match="through"):
            async with block("again"):
                raise LookupError("through")
        plain = await block("plain")
        assert isinstance(plain, contextlib.AbstractContextManager)
        assert asyncio.iscoroutine(block("unused"))

    asyncio.run(main())
    assert len(threads) == 4
    assert len(set(threads)) == 1
    assert block.__doc__ == "Documented."
    assert list(inspect.signature(block).parameters) == ["value"]


def test_suppression_and_exceptions():
    async def main():
        async with sync_to_async_context_manager(contextlib.suppress(LookupError)):
            raise LookupError
        with pytest.raises(ValueError, match="another"):
            async with sync_to_async_context_manager(contextlib.suppress(LookupError)):
                raise ValueError("another")

        @sync_to_async
        @contextmanager
        def failing(where):
            if where == "enter":
                raise LookupError("on entering")
            try:
                yield
            finally:
                raise LookupError("on leaving")

        with pytest.raises(LookupError, match="on entering"):
            async with failing("enter"):
                pytest.fail("not entered")
        with pytest.raises(LookupError, match="on leaving") as caught:
            async with failing("exit"):
                raise ValueError("inside")
        assert isinstance(caught.value.__context__, ValueError)

    asyncio.run(main())


@pytest.mark.parametrize("abandon", [True, False])
@pytest.mark.parametrize("where", ["enter", "exit"])
def test_cancelling_while_it_is_entered_or_left(where, abandon):
    resource = Resource()
    resource.wait_in = where

    async def use():
        async with sync_to_async_context_manager(resource, abandon_on_cancel=abandon):
            assert where == "exit"

    async def main():
        task = asyncio.create_task(use())
        assert await asyncio.to_thread(resource.begun.wait, PATIENCE)
        task.cancel()
        if not abandon:
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert not task.done()
            resource.may_go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        resource.may_go_on.set()
        assert await asyncio.to_thread(resource.left.wait, PATIENCE)

    asyncio.run(main())
    assert [name for name, _ in resource.log] == ["enter", "exit"]
    assert resource.log[0][1] is resource.log[1][1]
    assert isinstance(resource.error, asyncio.CancelledError) is (where == "enter")


@pytest.mark.parametrize("error", [None, LookupError("inside")])
def test_a_cancelled_exit_that_has_not_begun_happens_with_the_blocks_exception(error):
    resource, blocker = Resource(), Resource()
    blocker.wait_in = "enter"

    async def use():
        async with sync_to_async_context_manager(resource):
            blocking = asyncio.create_task(sync_to_async(blocker.__enter__)())
            assert await asyncio.to_thread(blocker.begun.wait, PATIENCE)
            asyncio.get_running_loop().call_soon(asyncio.current_task().cancel)
            if error is not None:
                raise error
        return blocking

    async def main():
        task = asyncio.create_task(use())
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not resource.left.is_set()
        blocker.may_go_on.set()
        assert await asyncio.to_thread(resource.left.wait, PATIENCE)

    asyncio.run(main())
    assert resource.error is error
    assert [name for name, _ in resource.log] == ["enter", "exit"]


def test_entered_twice():
    async def main():
        manager = sync_to_async_context_manager(Resource())
        async with manager:
            with pytest.raises(RuntimeError, match="entered already"):
                await manager.__aenter__()
        async with manager:
            pass
        with pytest.raises(RuntimeError, match="not entered"):
            await manager.__aexit__(None, None, None)

    asyncio.run(main())


class AsyncResource:
    def __init__(self, suppress=False):
        self.log = []
        self.suppress = suppress

    async def __aenter__(self):
        await asyncio.sleep(0)
        self.log.append(("enter", asyncio.current_task()))
        return self

    async def __aexit__(self, kind, error, traceback):
        await asyncio.sleep(0)
        self.log.append(("exit", asyncio.current_task()))
        self.error = error
        return self.suppress


@pytest.fixture(params=["own loop", "parent loop", "single thread context", "portal"])
def enter(request, in_thread):
    """Runs a function that is given what makes a context manager of an async one."""

    def run(function):
        if request.param == "own loop":
            in_thread(function, async_to_sync_context_manager)
        elif request.param == "parent loop":
            in_thread(sync_to_async(function)(async_to_sync_context_manager))
        elif request.param == "single thread context":

            def inside():
                with AsyncSingleThreadContext():
                    function(async_to_sync_context_manager)

            in_thread(inside)
        else:
            with start_blocking_portal() as portal:
                in_thread(function, portal.wrap_async_context_manager)

    return run


def test_entered_and_left_in_one_task(enter):
    resource = AsyncResource()

    def sync(wrap):
        with wrap(resource) as value:
            assert value is resource

    enter(sync)
    (name, one), (other, two) = resource.log
    assert (name, other) == ("enter", "exit")
    assert one is two


def test_async_suppression_and_exceptions(enter):
    def sync(wrap):
        with wrap(AsyncResource(suppress=True)):
            raise LookupError
        resource = AsyncResource()
        with pytest.raises(LookupError, match="through"):
            with wrap(resource):
                raise LookupError("through")
        assert isinstance(resource.error, LookupError)

    enter(sync)


def test_an_asynccontextmanager_function(recwarn):
    tasks = []

    @async_to_sync
    @asynccontextmanager
    async def block(value):
        """Documented."""
        token = variable.set(value)
        tasks.append(asyncio.current_task())
        try:
            yield value
        finally:
            tasks.append(asyncio.current_task())
            variable.reset(token)

    with block("inside") as value:
        assert value == variable.get() == "inside"
    assert variable.get("nothing") == "nothing"
    with pytest.raises(LookupError, match="through"):
        with block("again"):
            raise LookupError("through")
    assert tasks[0] is tasks[1]
    assert block.__doc__ == "Documented."
    assert not recwarn.list


def test_async_exceptions_on_entering_and_leaving():
    @async_to_sync
    @asynccontextmanager
    async def failing(where):
        if where == "enter":
            raise LookupError("on entering")
        try:
            yield
        finally:
            raise LookupError("on leaving")

    with pytest.raises(LookupError, match="on entering"):
        with failing("enter"):
            pytest.fail("not entered")
    with pytest.raises(LookupError, match="on leaving") as caught:
        with failing("exit"):
            raise ValueError("inside")
    assert isinstance(caught.value.__context__, ValueError)


def test_a_task_group(enter):
    async def child(results):
        await asyncio.sleep(0)
        results.append("done")

    def sync(wrap):
        results = []
        with wrap(asyncio.TaskGroup()) as group:

            async def start():
                group.create_task(child(results))

            # In the group's own loop.
            group._loop.call_soon_threadsafe(lambda: group.create_task(child(results)))
        assert results == ["done"]

    enter(sync)


def test_a_task_group_whose_child_fails(in_thread):
    failed = threading.Event()

    async def child():
        try:
            raise ZeroDivisionError
        finally:
            failed.set()

    def sync():
        with pytest.raises(ExceptionGroup) as caught:
            with async_to_sync_context_manager(asyncio.TaskGroup()) as group:
                group._loop.call_soon_threadsafe(lambda: group.create_task(child()))
                assert failed.wait(PATIENCE)
        assert caught.group_contains(ZeroDivisionError)

    in_thread(sync)


def test_a_timeout_that_expires_while_the_block_runs(in_thread):
    left = threading.Event()

    @async_to_sync
    @asynccontextmanager
    async def limited():
        try:
            async with asyncio.timeout(0.01):
                yield
        finally:
            left.set()

    def sync():
        with pytest.raises(TimeoutError):
            with limited():
                assert left.wait(PATIENCE)

    in_thread(sync)


def test_sensitive_code_in_it_runs_on_the_thread_that_enters(enter):
    threads = []

    class Sensitive:
        async def __aenter__(self):
            threads.append(await sync_to_async(threading.current_thread)())

        async def __aexit__(self, *exc_info):
            threads.append(await sync_to_async(threading.current_thread)())

    def sync(wrap):
        with wrap(Sensitive()):
            pass
        assert set(threads) == {threading.current_thread()}

    enter(sync)
    assert len(threads) == 2


@pytest.mark.parametrize("where", ["enter", "exit"])
def test_cancelling_reaches_what_waits(where, in_thread):
    begun = threading.Event()
    log = []

    @async_to_sync
    @asynccontextmanager
    async def waits():
        async def wait():
            begun.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                log.append("cancelled")
                raise

        try:
            if where == "enter":
                await wait()
            yield
            await wait()
        finally:
            log.append("left")

    def sync():
        with waits():
            pass

    async def main():
        task = asyncio.create_task(sync_to_async(sync)())
        assert await asyncio.to_thread(begun.wait, PATIENCE)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    in_thread(main())
    assert log == ["cancelled", "left"]


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: sync_to_async_context_manager(AsyncResource()), "takes a context manager"),
        (lambda: async_to_sync_context_manager(Resource()), "async context manager is wanted"),
    ],
)
def test_bad_input(call, text):
    with pytest.raises(TypeError, match=text):
        call()
