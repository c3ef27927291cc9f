"""A portal: a loop in a thread of its own, for all threads."""

import asyncio
import gc
import os
import threading
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from contextvars import ContextVar

import pytest

from asgi_sync import async_to_sync, process_portal, start_blocking_portal, sync_to_async

variable: ContextVar[str] = ContextVar("variable")
PATIENCE = 40


@pytest.fixture
def portal():
    with start_blocking_portal() as portal:
        yield portal


async def loop():
    await asyncio.sleep(0)
    return asyncio.get_running_loop()


def test_all_calls_run_in_one_loop(portal, in_thread):
    loops = {
        portal.call(loop),
        async_to_sync(loop, portal=portal)(),
        portal.start_task_soon(loop).result(PATIENCE),
    }
    loops.add(in_thread(portal.call, loop))
    assert len(loops) == 1

    @async_to_sync(portal=portal)
    async def decorated(value, *, keyword):
        return value, keyword, asyncio.get_running_loop()

    assert decorated(1, keyword=2) == (1, 2, loops.pop())


def test_what_is_called(portal):
    async def add(one, *, other):
        return one + other

    def plain():
        return threading.current_thread()

    async def fail():
        raise LookupError("from the portal")

    assert portal.call(add, 1, other=2) == 3
    assert portal.call(plain) is portal._host.loop_thread.thread
    with pytest.raises(LookupError, match="from the portal"):
        portal.call(fail)
    with pytest.raises(TypeError):
        portal.call(add)


def test_name_and_loop_factory():
    made = []

    def factory():
        made.append(asyncio.new_event_loop())
        return made[0]

    with start_blocking_portal(loop_factory=factory, name="mine") as portal:
        assert portal.call(loop) is made[0]
        assert portal.call(threading.current_thread).name == "mine"
    assert made[0].is_closed()
    with pytest.raises(TypeError, match="loop_factory"):
        with start_blocking_portal(loop_factory=3):
            pass


def test_a_loop_factory_that_fails():
    def factory():
        raise LookupError("no loop")

    with pytest.raises(LookupError, match="no loop"):
        with start_blocking_portal(loop_factory=factory):
            pytest.fail("there is no portal")


def test_in_sync_code_of_another_loop_it_is_still_the_portals(portal, in_thread):
    async def main():
        assert await sync_to_async(async_to_sync(loop, portal=portal))() is not asyncio.get_running_loop()
        return await sync_to_async(portal.call)(loop)

    assert in_thread(main()) is portal.call(loop)


def test_sensitive_code_runs_on_the_thread_that_waits(portal, in_thread):
    async def where():
        return await sync_to_async(threading.current_thread)()

    def sync():
        assert portal.call(where) is threading.current_thread()
        assert async_to_sync(where, portal=portal)() is threading.current_thread()

    sync()
    in_thread(sync)


def test_several_threads_at_once(portal):
    together = threading.Barrier(4, timeout=PATIENCE)

    async def meet(number):
        # All four calls are in the loop at the same time, each with sensitive code on its own thread.
        await asyncio.to_thread(together.wait)
        return number, await sync_to_async(threading.current_thread)()

    def call(number):
        return *portal.call(meet, number), threading.current_thread()

    with ThreadPoolExecutor(4) as pool:
        for index, (number, where, thread) in enumerate(pool.map(call, range(4))):
            assert number == index
            assert where is thread


def test_background_tasks_live_between_calls_and_end_with_the_portal():
    log = []

    async def background():
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            log.append("ended")

    async def start():
        log.append(asyncio.create_task(background()))

    with start_blocking_portal() as portal:
        portal.call(start)
        future = portal.start_task_soon(background)
        portal.call(loop)
        assert not log[0].done()
        assert not future.done()
    assert log[1:] == ["ended", "ended"]
    assert log[0].cancelled()
    with pytest.raises(CancelledError):
        future.result(0)


def test_the_end_serves_the_sensitive_code_of_what_it_ends(in_thread):
    """A task's cleanup needs the very thread that waits for the end of the portal."""
    threads = []

    async def background():
        try:
            await asyncio.Event().wait()
        finally:
            threads.append(await sync_to_async(threading.current_thread)())

    async def outer():
        def view():
            with start_blocking_portal() as portal:
                portal.start_task_soon(background)
                portal.call(asyncio.sleep, 0)
            return threading.current_thread()

        return await sync_to_async(view)()

    assert in_thread(async_to_sync(outer)) is threads[0]


def test_the_end_with_an_exception_is_the_same():
    with pytest.raises(LookupError):
        with start_blocking_portal() as portal:
            future = portal.start_task_soon(asyncio.sleep, 1000)
            raise LookupError
    assert future.cancelled()


def test_cancelling_the_future_cancels_the_task(portal):
    cancelled, begun = threading.Event(), threading.Event()

    async def wait():
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    future = portal.start_task_soon(wait)
    assert begun.wait(PATIENCE)
    assert future.cancel()
    assert cancelled.wait(PATIENCE)
    with pytest.raises(CancelledError):
        future.result(0)


def test_start_task_soon(portal):
    async def fail():
        raise LookupError

    with pytest.raises(LookupError):
        portal.start_task_soon(fail).result(PATIENCE)
    assert portal.start_task_soon(int, "3").result(PATIENCE) == 3
    assert isinstance(portal.start_task_soon(loop), Future)

    async def get():
        return variable.get()

    token = variable.set("mine")
    try:
        assert portal.start_task_soon(get).result(PATIENCE) == "mine"
    finally:
        variable.reset(token)


def test_start_task(portal):
    goes_on = threading.Event()

    async def serve(port, *, task_status):
        task_status.started(port + 1)
        with pytest.raises(RuntimeError, match="called already"):
            task_status.started()
        await asyncio.to_thread(goes_on.wait, PATIENCE)
        return "served"

    future, port = portal.start_task(serve, 80)
    assert port == 81
    assert not future.done()
    goes_on.set()
    assert future.result(PATIENCE) == "served"

    async def silent(*, task_status):
        pass

    with pytest.raises(RuntimeError, match=r"silent has ended without calling task_status\.started"):
        portal.start_task(silent)

    async def fail(*, task_status):
        raise LookupError

    with pytest.raises(LookupError):
        portal.start_task(fail)


def test_context_variables_come_back_from_a_call(portal):
    async def change():
        variable.set("from the portal")

    portal.call(change)
    assert variable.get() == "from the portal"


def test_context_managers_and_iterators(portal):
    tasks = set()

    @asynccontextmanager
    async def block():
        tasks.add(asyncio.current_task())
        yield asyncio.get_running_loop()
        tasks.add(asyncio.current_task())

    async def generate():
        for number in range(5):
            yield number, asyncio.get_running_loop()

    with portal.wrap_async_context_manager(block()) as loop_of_block:
        assert loop_of_block is portal.call(loop)
    assert len(tasks) == 1
    for size in (0, 2):
        assert list(portal.wrap_async_iterator(generate(), max_buffer_size=size)) == [
            (number, loop_of_block) for number in range(5)
        ]
    assert [number for number, _ in async_to_sync(generate, portal=portal)()] == [0, 1, 2, 3, 4]
    with async_to_sync(block, portal=portal)() as again:
        assert again is loop_of_block


def test_after_its_end():
    async def generate():
        yield 1

    with start_blocking_portal() as portal:
        bound = async_to_sync(loop, portal=portal)
        items = portal.wrap_async_iterator(generate())
        assert next(items) == 1
    for use in (
        lambda: portal.call(loop),
        lambda: portal.start_task_soon(loop),
        lambda: portal.start_task(loop),
        bound,
        lambda: next(portal.wrap_async_iterator(generate())),
        portal.wrap_async_context_manager(asyncio.TaskGroup()).__enter__,
    ):
        with pytest.raises(RuntimeError, match="portal is over"):
            use()
    items.close()
    assert "over" in repr(portal)


def test_calls_that_wait_at_its_end_are_cancelled():
    begun = threading.Event()
    outcome = []

    async def wait():
        begun.set()
        await asyncio.Event().wait()

    def call(portal):
        try:
            portal.call(wait)
        except BaseException as error:
            outcome.append(error)

    with start_blocking_portal() as portal:
        thread = threading.Thread(target=call, args=(portal,))
        thread.start()
        assert begun.wait(PATIENCE)
    thread.join(PATIENCE)
    assert [type(error) for error in outcome] == [asyncio.CancelledError]


def test_on_its_own_loops_thread(portal):
    async def inside():
        for use in (portal.call, portal.start_task_soon, portal.start_task):
            with pytest.raises(RuntimeError, match="would wait for itself"):
                use(loop)
        with pytest.raises(RuntimeError, match="same thread as an async event loop"):
            async_to_sync(loop, portal=portal)()
        # Sync code that the loop waits for may use it, of course.
        return await sync_to_async(portal.call)(loop)

    assert portal.call(inside) is portal.call(loop)


def test_bad_options(portal):
    with pytest.raises(TypeError, match="force_new_loop"):
        async_to_sync(loop, portal=portal, force_new_loop=True)
    with pytest.raises(TypeError, match="BlockingPortal"):
        async_to_sync(loop, portal="portal")


def test_cancelling_a_task_that_waits_in_a_portal_call(portal, in_thread):
    begun = threading.Event()
    log = []

    async def wait():
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            log.append("cancelled")
            raise

    async def main():
        task = asyncio.create_task(sync_to_async(portal.call)(wait))
        assert await asyncio.to_thread(begun.wait, PATIENCE)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    in_thread(main())
    assert log == ["cancelled"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_in_a_forked_child(run_program):
    out = run_program(
        """
        import asyncio, os, sys, warnings
        warnings.simplefilter("ignore", DeprecationWarning)  # of fork with threads, from 3.12 on
        from asgi_sync import process_portal, start_blocking_portal

        async def pid():
            return os.getpid()

        with start_blocking_portal() as portal:
            assert process_portal().call(pid) == os.getpid()
            child = os.fork()
            if not child:
                for use in (portal.call, portal.start_task_soon):
                    try:
                        use(pid)
                    except RuntimeError as error:
                        print(error)
                print(process_portal().call(pid) == os.getpid())
                with start_blocking_portal() as own:
                    print(own.call(pid) == os.getpid())
                portal._stop()
                sys.stdout.flush()
                os._exit(0)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
            print(portal.call(pid) == os.getpid())
        """
    )
    assert out.splitlines() == [
        *2 * ["This portal stayed behind in the process that was forked: start one in the child."],
        "True",
        "True",
        "True",
    ]


def test_the_process_portal_is_one_and_ends_with_the_process(run_program):
    out = run_program(
        """
        import asyncio, threading
        before = threading.active_count()
        from asgi_sync import process_portal, sync_to_async
        assert threading.active_count() == before
        portals = []
        threads = [threading.Thread(target=lambda: portals.append(process_portal())) for _ in range(5)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        print(len(set(portals)), threading.active_count() - before)

        async def background():
            try:
                await asyncio.Event().wait()
            finally:
                print("ended", await sync_to_async(threading.current_thread)() is threading.main_thread())

        async def started(*, task_status):
            task_status.started()
            await background()

        process_portal().start_task(started)
        """
    )
    assert out.splitlines() == ["1 1", "ended True"]


@pytest.mark.parametrize("attempt", range(300 if os.environ.get("STRESS") else 3))
def test_starting_tasks_races_with_the_end(attempt):
    """Every future comes to an end, or the portal says that it is over."""
    go = threading.Barrier(3, timeout=PATIENCE)
    futures = []

    def start(portal):
        go.wait()
        with pytest.raises(RuntimeError, match="portal is over"):
            while True:
                futures.append(portal.start_task_soon(loop))

    with start_blocking_portal() as portal:
        threads = [threading.Thread(target=start, args=(portal,)) for _ in range(2)]
        for thread in threads:
            thread.start()
        go.wait()
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive()
    for future in futures:
        try:
            assert future.result(PATIENCE) is not None
        except CancelledError:
            pass


def test_on_the_thread_of_another_loop(in_thread):
    async def main():
        with pytest.raises(RuntimeError, match="for sync code"):
            with start_blocking_portal():
                pass
        # Made here, to be used elsewhere.
        portal = process_portal()
        with pytest.raises(RuntimeError, match="same thread as an async event loop"):
            portal.call(loop)
        assert await asyncio.wrap_future(portal.start_task_soon(loop)) is not asyncio.get_running_loop()
        return await sync_to_async(portal.call)(loop)

    assert in_thread(main()) is process_portal().call(loop)


def test_a_loop_that_cannot_be_made_leaves_no_thread():
    def factory():
        raise LookupError("no loop")

    before = set(threading.enumerate())
    with pytest.raises(LookupError):
        with start_blocking_portal(loop_factory=factory):
            pass
    for thread in set(threading.enumerate()) - before:
        if "loop" in thread.name:
            thread.join(PATIENCE)
            assert not thread.is_alive()


def test_a_background_task_lives_though_nobody_holds_its_future():
    """asyncio itself holds tasks weakly: a collection would take one that waits for what only it refers to."""
    log = []

    async def background(*, task_status=None):
        try:
            if task_status is not None:
                task_status.started()
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            log.append("cleaned up")

    with start_blocking_portal() as portal:
        portal.start_task_soon(background)
        portal.start_task(background)
        portal.call(asyncio.sleep, 0)
        gc.collect()
        portal.call(asyncio.sleep, 0)
        assert log == []
    assert log == ["cleaned up"] * 2
