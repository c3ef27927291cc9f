"""Loops: kept where that cannot be told from a fresh one, ended in full as asyncio.run does elsewhere."""

import asyncio
import contextlib
import gc
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from asgi_sync import AsyncSingleThreadContext, SyncToAsync, _loops, async_to_sync, lowlevel, sync_to_async

InThread = Callable[..., Any]


async def running_loop() -> asyncio.AbstractEventLoop:
    return asyncio.get_running_loop()


def becomes(condition: Callable[[], bool], within: float = 40) -> bool:
    """Whether a condition comes true in time (seconds)."""
    end = time.monotonic() + within
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.005)
    return condition()


# Kept


def test_calls_from_one_plain_thread_share_a_loop_thread(in_thread: InThread) -> None:
    """asgiref 3.13.0 starts a thread for each call."""

    async def where() -> threading.Thread:
        return threading.current_thread()

    def main() -> set[threading.Thread]:
        return {async_to_sync(where)() for _ in range(20)}

    assert len(in_thread(main)) == 1


@pytest.mark.skipif(os.environ.get("TEST_LOOP") == "uvloop", reason="a loop of uvloop cannot be inspected")
def test_clean_calls_from_one_plain_thread_share_a_loop(in_thread: InThread) -> None:
    """asgiref 3.13.0 makes a loop for each call."""

    async def work() -> asyncio.AbstractEventLoop:
        await asyncio.sleep(0)
        await asyncio.create_task(asyncio.sleep(0.001))
        return asyncio.get_running_loop()

    def main() -> set[asyncio.AbstractEventLoop]:
        return {async_to_sync(work)() for _ in range(20)}

    assert len(in_thread(main)) == 1


def test_between_two_calls_the_loop_is_closed_to_everybody_else(in_thread: InThread) -> None:
    """Whoever keeps the loop and sends it something gets an error, as after asyncio.run, and waits for nothing."""

    def main() -> None:
        for _ in range(3):
            loop = async_to_sync(running_loop)()
            coroutine = running_loop()
            with pytest.raises(RuntimeError, match="closed"):
                asyncio.run_coroutine_threadsafe(coroutine, loop)
            coroutine.close()
            assert loop.is_closed()
            with pytest.raises(RuntimeError, match="closed"):
                loop.call_soon(int)

    in_thread(main)


def test_two_plain_threads_do_not_share_a_loop(in_thread: InThread) -> None:
    """One that waits for the other would wait for ever."""
    together = threading.Barrier(2)

    async def work() -> asyncio.AbstractEventLoop:
        together.wait(40)  # blocks its loop until the other one is there
        return asyncio.get_running_loop()

    def main() -> set[asyncio.AbstractEventLoop]:
        loops = []
        other = threading.Thread(target=lambda: loops.append(async_to_sync(work)()), daemon=True)
        other.start()
        loops.append(async_to_sync(work)())
        other.join(40)
        return set(loops)

    assert len(in_thread(main)) == 2


def test_a_kept_loop_is_closed_when_its_calling_thread_ends(in_thread: InThread) -> None:
    loop = in_thread(async_to_sync(running_loop))
    assert becomes(loop.is_closed)


def test_a_kept_loop_is_closed_after_the_idle_time() -> None:
    before = lowlevel.set_worker_idle_time(0.05)
    try:
        end = threading.Event()
        loops: list[asyncio.AbstractEventLoop] = []

        def caller() -> None:
            loops.append(async_to_sync(running_loop)())
            end.wait(40)
            loops.append(async_to_sync(running_loop)())

        thread = threading.Thread(target=caller, daemon=True)
        thread.start()
        assert becomes(lambda: bool(loops) and loops[0].is_closed())
        end.set()
        thread.join(40)
        assert len(loops) == 2
    finally:
        lowlevel.set_worker_idle_time(10.0 if before is None else before)


def test_force_new_loop_always_means_a_new_one(in_thread: InThread) -> None:
    def main() -> list[asyncio.AbstractEventLoop]:
        kept = async_to_sync(running_loop)()
        return [kept] + [async_to_sync(running_loop, force_new_loop=True)() for _ in range(5)]

    loops = in_thread(main)
    assert len(set(loops)) == 6
    assert all(loop.is_closed() for loop in loops[1:])


# A kept loop is as good as new


def change_debug(loop: asyncio.AbstractEventLoop) -> None:
    loop.set_debug(not loop.get_debug())


def change_slow_callback_duration(loop: asyncio.AbstractEventLoop) -> None:
    loop.slow_callback_duration = 7.0


def change_exception_handler(loop: asyncio.AbstractEventLoop) -> None:
    loop.set_exception_handler(lambda loop, context: None)


def change_task_factory(loop: asyncio.AbstractEventLoop) -> None:
    loop.set_task_factory(lambda loop, coro, **options: asyncio.Task(coro, loop=loop, **options))


def look(loop: asyncio.AbstractEventLoop) -> tuple[Any, ...]:
    return (
        loop.get_debug(),
        loop.slow_callback_duration,
        loop.get_exception_handler(),
        loop.get_task_factory(),
    )


@pytest.mark.parametrize(
    "change", [change_debug, change_slow_callback_duration, change_exception_handler, change_task_factory]
)
def test_what_a_call_changes_on_its_loop_does_not_reach_the_next_call(
    in_thread: InThread, change: Callable[[asyncio.AbstractEventLoop], None]
) -> None:
    async def work() -> tuple[Any, ...]:
        loop = asyncio.get_running_loop()
        before = look(loop)
        change(loop)
        return before

    def main() -> list[tuple[Any, ...]]:
        return [async_to_sync(work)() for _ in range(3)]

    first, *others = in_thread(main)
    assert others == [first, first]


def test_an_attribute_hung_on_the_loop_does_not_reach_the_next_call(in_thread: InThread) -> None:
    """Some libraries keep a client on the loop object and take it for theirs."""

    async def work() -> bool:
        loop: Any = asyncio.get_running_loop()
        there = hasattr(loop, "client")
        with contextlib.suppress(AttributeError):  # uvloop's has slots
            loop.client = object()
        return there

    def main() -> list[bool]:
        return [async_to_sync(work)() for _ in range(3)]

    assert in_thread(main) == [False, False, False]


def test_context_variables_of_one_call_do_not_reach_another_thread(in_thread: InThread) -> None:
    import contextvars

    variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable", default=0)

    async def work(value: int) -> int:
        before = variable.get()
        variable.set(value)
        return before

    assert in_thread(async_to_sync(work), 1) == 0
    assert in_thread(async_to_sync(work), 2) == 0


# Left behind: the full ending of asyncio.run


@pytest.fixture
def two_calls(in_thread: InThread) -> Callable[[Any, Any], tuple[Any, Any]]:
    """Call two async functions from one plain thread, one after the other."""

    def run(first: Any, second: Any) -> tuple[Any, Any]:
        return in_thread(lambda: (async_to_sync(first)(), async_to_sync(second)()))

    return run


async def a_moment() -> None:
    """Give what was left behind every chance to show."""
    await asyncio.sleep(0.05)


def test_a_task_left_behind_is_cancelled_before_the_call_returns(in_thread: InThread) -> None:
    log: list[str] = []

    async def background() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(0.001)
            log.append("cleaned up")

    async def work() -> None:
        tasks.append(asyncio.create_task(background()))
        await asyncio.sleep(0)

    tasks: list[asyncio.Task[None]] = []

    def main() -> list[str]:
        async_to_sync(work)()
        return list(log)

    assert in_thread(main) == ["cleaned up"]
    assert tasks[0].cancelled()


def test_a_task_left_behind_that_waits_for_no_timer_is_cancelled(in_thread: InThread) -> None:
    """Nothing but the task itself shows that the loop is not clean."""
    log: list[str] = []

    async def background() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            log.append("cleaned up")

    async def work() -> None:
        tasks.append(asyncio.create_task(background()))
        await asyncio.sleep(0)

    tasks: list[asyncio.Task[None]] = []

    def main() -> list[str]:
        async_to_sync(work)()
        return list(log)

    assert in_thread(main) == ["cleaned up"]
    assert tasks[0].cancelled()


def test_a_task_left_behind_by_a_call_that_failed_is_cancelled(in_thread: InThread) -> None:
    log: list[str] = []

    async def background() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            log.append("cleaned up")

    async def work() -> None:
        task = asyncio.create_task(background())
        await asyncio.sleep(0)
        raise ValueError(task.get_name())

    def main() -> list[str]:
        with pytest.raises(ValueError):  # noqa: PT011
            async_to_sync(work)()
        return list(log)

    assert in_thread(main) == ["cleaned up"]


def test_a_task_left_behind_may_use_sensitive_code_while_it_ends(in_thread: InThread) -> None:
    """Closing a database connection, for example: the calling thread still serves."""
    threads: list[int] = []

    async def background() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            threads.append(await sync_to_async(threading.get_ident)())

    async def work() -> None:
        task = asyncio.create_task(background())
        await asyncio.sleep(0)
        del task

    def main() -> int:
        async_to_sync(work)()
        return threading.get_ident()

    assert [in_thread(main)] == threads


def test_a_timer_left_behind_does_not_fire_in_the_next_call(
    two_calls: Callable[[Any, Any], tuple[Any, Any]],
) -> None:
    fired: list[int] = []

    async def first() -> None:
        asyncio.get_running_loop().call_later(0.01, fired.append, 1)

    two_calls(first, a_moment)
    assert fired == []


def test_a_callback_scheduled_at_the_end_still_runs(in_thread: InThread) -> None:
    """call_soon just before the return: under asyncio.run it runs, and before the call is over."""
    ran: list[int] = []

    async def work() -> None:
        asyncio.get_running_loop().call_soon(ran.append, 1)

    def main() -> list[int]:
        async_to_sync(work)()
        return list(ran)

    assert in_thread(main) == [1]


def test_another_thread_may_schedule_in_a_loop_that_is_looked_into(in_thread: InThread) -> None:
    """Between two looks at the callbacks that a call has left, another thread adds one."""

    async def work() -> str:
        loop = asyncio.get_running_loop()

        class Callback:
            """Gets another thread to run in the middle of the look, and does not end it."""

            def __call__(self) -> None: ...

            def __eq__(self, other: object) -> bool:
                other_thread = threading.Thread(target=loop.call_soon_threadsafe, args=(int,))
                other_thread.start()
                other_thread.join()
                return True

            __hash__ = object.__hash__

        loop.call_soon(Callback())
        return "done"

    assert in_thread(async_to_sync(work)) == "done"


def test_an_async_generator_left_behind_is_closed_before_the_call_returns(in_thread: InThread) -> None:
    log: list[str] = []
    generators: list[Any] = []

    async def items() -> Any:
        try:
            yield 1
            yield 2
        finally:
            await asyncio.sleep(0)
            log.append("closed")

    async def work() -> None:
        generator = items()
        generators.append(generator)
        async for _ in generator:
            break

    def main() -> list[str]:
        async_to_sync(work)()
        return list(log)

    assert in_thread(main) == ["closed"]


def test_a_reader_left_behind_does_not_fire_in_the_next_call(
    two_calls: Callable[[Any, Any], tuple[Any, Any]],
) -> None:
    fired: list[int] = []
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)

        async def first() -> asyncio.AbstractEventLoop:
            loop = asyncio.get_running_loop()
            loop.add_reader(ours, fired.append, 1)
            return loop

        async def second() -> asyncio.AbstractEventLoop:
            theirs.send(b"x")
            await a_moment()
            return asyncio.get_running_loop()

        loop, other = two_calls(first, second)
    assert loop is not other
    assert fired == []


def test_a_connection_left_behind_ends_with_its_loop(run_program: Callable[..., str]) -> None:
    """A client that keeps its connection for the next call finds that loop closed, as after asyncio.run.

    What asyncio itself says about the transports on standard error does not matter here.
    """
    out = run_program(
        """
        import asyncio
        from asgi_sync import async_to_sync

        kept = []

        async def work():
            loop = asyncio.get_running_loop()
            server = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0)
            port = server.sockets[0].getsockname()[1]
            kept.append((server, await loop.create_connection(asyncio.Protocol, "127.0.0.1", port)))
            return loop

        async def again():
            return asyncio.get_running_loop()

        first, second = async_to_sync(work)(), async_to_sync(again)()
        print(first.is_closed(), second is not first)
        """,
        options=("-W", "ignore"),
    )
    assert out == "True True\n"


@pytest.mark.skipif(sys.platform == "win32", reason="ends the process as POSIX does")
def test_a_subprocess_left_behind_ends_with_its_loop(run_program: Callable[..., str]) -> None:
    """What asyncio itself says about the transport on standard error does not matter here."""
    out = run_program(
        """
        import asyncio, os, sys
        from asgi_sync import async_to_sync

        processes = []

        async def work():
            processes.append(await asyncio.create_subprocess_exec(sys.executable, "-c", "input()", stdin=-1))
            return asyncio.get_running_loop()

        async def again():
            return asyncio.get_running_loop()

        first, second = async_to_sync(work)(), async_to_sync(again)()
        print(first.is_closed(), second is not first)
        os.kill(processes[0].pid, 9)
        """,
        options=("-W", "ignore"),
    )
    assert out == "True True\n"


def test_the_default_executor_is_shut_down_with_the_call(in_thread: InThread) -> None:
    """asyncio.run waits for its threads."""
    log: list[str] = []

    def slow() -> None:
        time.sleep(0.05)
        log.append("ended")

    async def work() -> None:
        asyncio.get_running_loop().run_in_executor(None, slow)
        await asyncio.sleep(0)

    def main() -> list[str]:
        async_to_sync(work)()
        return list(log)

    assert in_thread(main) == ["ended"]


def test_what_is_left_behind_makes_no_warning(run_program: Callable[..., str]) -> None:
    errors: list[str] = []
    run_program(
        """
        import asyncio
        from asgi_sync import async_to_sync

        async def items():
            yield 1
            yield 2

        async def work(what):
            loop = asyncio.get_running_loop()
            if what == "task":
                keep.append(asyncio.create_task(asyncio.sleep(3600)))
            if what == "timer":
                loop.call_later(3600, print)
            if what == "generator":
                keep.append(items())
                await anext(keep[-1])
            if what == "executor":
                loop.run_in_executor(None, int)
            return what

        keep = []
        for what in ["task", "timer", "generator", "executor", "nothing"] * 3:
            assert async_to_sync(work)(what) == what
        """,
        options=("-X", "dev"),
        errors=errors,
    )
    assert errors == [""]


def test_a_loop_that_a_call_stopped_is_not_used_again(in_thread: InThread) -> None:
    """``loop.stop()`` in a coroutine is odd; asyncio.run raises then. It never hangs."""

    async def work() -> None:
        asyncio.get_running_loop().stop()
        await asyncio.sleep(0.01)

    def main() -> asyncio.AbstractEventLoop:
        with contextlib.suppress(RuntimeError):
            async_to_sync(work)()
        return async_to_sync(running_loop)()

    assert isinstance(in_thread(main), asyncio.AbstractEventLoop)


# AsyncSingleThreadContext


@pytest.fixture
def echo_port() -> Iterator[int]:
    """The port of a server that sends back each line, in a thread of its own."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with contextlib.suppress(OSError):
                connection, _ = server.accept()
                with connection, connection.makefile("rwb", buffering=0) as stream:
                    for line in stream:
                        stream.write(line)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
    thread.join(40)


class PooledClient:
    """A client that keeps its connection from the first call for the next ones."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def echo(self, line: bytes) -> bytes:
        if self.streams is None:
            self.streams = await asyncio.open_connection("127.0.0.1", self.port)
        reader, writer = self.streams
        writer.write(line)
        return await asyncio.wait_for(reader.readline(), 40)

    async def close(self) -> None:
        assert self.streams is not None
        self.streams[1].close()
        await self.streams[1].wait_closed()


def test_a_pooled_connection_works_in_the_next_call_of_the_context(
    in_thread: InThread, echo_port: int
) -> None:
    """asgiref 3.13.0: "Event loop is closed" (#370, #542)."""
    client = PooledClient(echo_port)

    def main() -> list[bytes]:
        with AsyncSingleThreadContext():
            lines = [async_to_sync(client.echo)(b"%d\n" % i) for i in range(3)]
            async_to_sync(client.close)()
        return lines

    assert in_thread(main) == [b"0\n", b"1\n", b"2\n"]


def test_the_loop_of_the_context_is_shared_and_closed_at_its_end(in_thread: InThread) -> None:
    """asgiref 3.13.0 shares the thread only."""

    def main() -> tuple[list[asyncio.AbstractEventLoop], bool]:
        with AsyncSingleThreadContext():
            loops = [async_to_sync(running_loop)() for _ in range(3)]
            with AsyncSingleThreadContext():
                loops.append(async_to_sync(running_loop)())
            loops.append(async_to_sync(running_loop)())
            closed_inside = loops[0].is_closed()
        return loops, closed_inside

    loops, closed_inside = in_thread(main)
    assert len(set(loops)) == 1
    assert not closed_inside
    assert loops[0].is_closed()


def test_a_task_of_the_context_is_cancelled_at_its_end(in_thread: InThread) -> None:
    log: list[str] = []
    tasks: list[asyncio.Task[None]] = []

    async def background() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            log.append("cleaned up")

    async def start() -> None:
        tasks.append(asyncio.create_task(background()))
        await asyncio.sleep(0)

    def main() -> None:
        with AsyncSingleThreadContext():
            async_to_sync(start)()
            async_to_sync(running_loop)()
            log.append("leaving")
        log.append("left")

    in_thread(main)
    assert log == ["leaving", "cleaned up", "left"]


def test_sensitive_code_below_the_context_runs_on_the_calling_thread(in_thread: InThread) -> None:
    async def work() -> int:
        return await sync_to_async(threading.get_ident)()

    def main() -> tuple[int, set[int]]:
        with AsyncSingleThreadContext():
            return threading.get_ident(), {async_to_sync(work)() for _ in range(3)}

    here, there = in_thread(main)
    assert there == {here}


def test_the_context_can_be_entered_again_and_again(in_thread: InThread) -> None:
    def main() -> list[asyncio.AbstractEventLoop]:
        loops = []
        for _ in range(3):
            with AsyncSingleThreadContext():
                loops.append(async_to_sync(running_loop)())
        return loops

    loops = in_thread(main)
    assert len(set(loops)) == 3
    assert all(loop.is_closed() for loop in loops)


def test_an_exception_in_a_call_leaves_the_loop_of_the_context_usable(in_thread: InThread) -> None:
    async def fail() -> None:
        raise ValueError

    def main() -> asyncio.AbstractEventLoop:
        with AsyncSingleThreadContext():
            with pytest.raises(ValueError):  # noqa: PT011
                async_to_sync(fail)()
            return async_to_sync(running_loop)()

    assert in_thread(main).is_closed()


def test_a_thread_that_ends_inside_a_context_leaves_nothing_open(in_thread: InThread) -> None:
    """``__exit__`` is never called: the loop is closed when the thread ends."""

    def main() -> asyncio.AbstractEventLoop:
        AsyncSingleThreadContext().__enter__()
        return async_to_sync(running_loop)()

    loop = in_thread(main)
    gc.collect()  # free-threaded builds leave to the collector what two threads refer to
    assert becomes(loop.is_closed)


# What the end of a block does for its tasks.


def block_with_a_task_that_needs_the_thread() -> bool:
    """Whether the sensitive code of a task's cleanup ran on the thread that left the block."""
    threads: list[threading.Thread] = []
    tasks: list[asyncio.Task[None]] = []

    async def background(started: asyncio.Event) -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            threads.append(await sync_to_async(threading.current_thread)())

    async def start() -> None:
        started = asyncio.Event()
        tasks.append(asyncio.create_task(background(started)))
        await started.wait()

    with AsyncSingleThreadContext():
        async_to_sync(start)()
    return threads == [threading.current_thread()]


def test_the_end_of_a_block_serves_its_tasks(in_thread: InThread) -> None:
    """A connection that the block's thread has opened is closed there. asgiref 3.13.0 has another thread do it."""
    assert in_thread(block_with_a_task_that_needs_the_thread)


def test_the_end_of_a_block_on_the_sensitive_thread_serves_its_tasks(in_thread: InThread) -> None:
    """The thread waits for the task, and the task for the thread: a deadlock if it were not served."""

    def main() -> bool:
        return SyncToAsync.single_thread_executor.submit(block_with_a_task_that_needs_the_thread).result(40)

    assert in_thread(main)


def test_the_end_of_a_block_on_the_thread_of_a_running_loop(in_thread: InThread) -> None:
    """It cannot serve there, and still ends the loop and its tasks."""
    ended = threading.Event()

    async def background(started: asyncio.Event) -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.set()

    tasks: list[asyncio.Task[None]] = []

    async def start() -> None:
        started = asyncio.Event()
        tasks.append(asyncio.create_task(background(started)))
        await started.wait()

    async def main() -> None:
        with AsyncSingleThreadContext():
            # asyncio.to_thread copies the context, and with it the choice.
            await asyncio.to_thread(async_to_sync(start))
            assert not ended.is_set()
        assert ended.is_set()

    in_thread(main())


def test_what_a_task_raises_at_the_end_of_its_block_is_told(
    in_thread: InThread, caplog: pytest.LogCaptureFixture
) -> None:
    """As asyncio.run does it."""
    tasks: list[asyncio.Task[None]] = []

    async def background(started: asyncio.Event) -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            raise LookupError("at the end")

    async def start() -> None:
        started = asyncio.Event()
        tasks.append(asyncio.create_task(background(started)))
        await started.wait()

    def main() -> None:
        with AsyncSingleThreadContext():
            async_to_sync(start)()

    in_thread(main)
    assert [str(record.exc_info[1]) for record in caplog.records if record.exc_info] == ["at the end"]


def test_a_loop_thread_that_ends_before_its_first_call_is_replaced(
    in_thread: InThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a short idle time, on a busy machine, it may."""
    made: list[_loops.LoopThread] = []

    class Hasty(_loops.LoopThread):
        def __init__(self) -> None:
            super().__init__()
            made.append(self)
            if len(made) == 1:
                self.close()
                self.join(30)

    monkeypatch.setattr(_loops, "LoopThread", Hasty)
    assert in_thread(lambda: async_to_sync(running_loop)().is_running()) is False
    assert len(made) == 2


def test_a_kept_loop_ends_at_once_when_it_is_told_to(in_thread: InThread) -> None:
    """A fork and the end of the interpreter wait for that."""

    def main() -> bool:
        before = set(threading.enumerate())
        lowlevel.set_worker_idle_time(600)
        try:
            async_to_sync(running_loop)()
            (thread,) = (each for each in set(threading.enumerate()) - before if "loop" in each.name)
            _loops._registry.close_all(only_idle=True)
            return thread.is_alive()
        finally:
            lowlevel.set_worker_idle_time(10)

    assert in_thread(main) is False
