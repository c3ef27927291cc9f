"""When a server ends, everything that it started ends with it."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from asgi_server.server import ScopeBlockedError


class Work:
    """Handles messages slowly, and says how its end was."""

    def __init__(self):
        self.handled = []
        self.ends = []
        self.step = asyncio.Event()

    async def __call__(self, scope, receive, send):
        try:
            while True:
                message = await receive()
                if message == "hang":
                    await asyncio.Event().wait()
                await self.step.wait()
                self.handled.append(message)
        except asyncio.CancelledError:
            self.ends.append("cancelled")
            raise
        finally:
            self.ends.append("finally")


def others():
    return asyncio.all_tasks() - {asyncio.current_task()}


@pytest.mark.asyncio
async def test_instances_are_drained_when_handle_returns(Hub):
    work = Work()
    hub = Hub(work)
    async with hub.running():
        for number in range(5):
            hub.put(number % 2, number)
        asyncio.get_running_loop().call_later(0.05, work.step.set)
    assert sorted(work.handled) == [0, 1, 2, 3, 4]
    assert work.ends == ["cancelled", "finally"] * 2
    assert hub.application_instances == {}
    assert not others()


@pytest.mark.asyncio
async def test_instances_are_drained_when_handle_raises(Hub):
    work = Work()

    class Failing(Hub):
        async def handle(self):
            self.put("a", 1)
            work.step.set()
            raise LookupError("the stream broke")

    with pytest.raises(LookupError):
        await Failing(work).arun()
    assert work.handled == [1]
    assert not others()


@pytest.mark.asyncio
async def test_draining_has_a_timeout_then_comes_the_cancellation(Hub, events):
    work = Work()
    hub = Hub(work, shutdown_timeout=0.1, observer=events)
    started = time.monotonic()
    async with hub.running():
        hub.put("a", "hang")
        hub.put("a", "behind")
    assert time.monotonic() - started < 10
    assert work.ends == ["cancelled", "finally"]
    assert events.of("dropped") == [
        ["a", "behind", "not handled before its instance was cancelled (shutdown)"]
    ]
    assert not others()


@pytest.mark.asyncio
async def test_messages_that_draining_causes_are_handled_too(Hub):
    received = []

    async def application(scope, receive, send):
        while True:
            message = await receive()
            received.append(message)
            if message < 5:
                hub.put(message + 1, message + 1)

    hub = Hub(application)
    async with hub.running():
        hub.put(0, 0)
    assert received == [0, 1, 2, 3, 4, 5]
    assert not others()


@pytest.mark.asyncio
async def test_applications_that_swallow_cancellation_are_reported_not_forgotten(Hub, events, caplog, until):
    released = asyncio.Event()

    async def application(scope, receive, send):
        await receive()
        while not released.is_set():
            try:
                await released.wait()
            except asyncio.CancelledError:
                pass

    hub = Hub(application, shutdown_timeout=0.01, cancel_timeout=0.05, observer=events)
    started = time.monotonic()
    async with hub.running():
        hub.put("a", "x")
        await asyncio.sleep(0)
    assert time.monotonic() - started < 10
    assert events.of("stuck") == [["a", "shutdown"]]
    assert "the instance of scope 'a' ignores its cancellation for 0.05 s" in caplog.text
    released.set()
    await until(lambda: not others())


@pytest.mark.asyncio
async def test_an_instance_that_ignores_its_eviction_frees_its_place_and_blocks_its_scope(Hub, until, events):
    released = asyncio.Event()
    received = []

    async def application(scope, receive, send):
        while True:
            received.append((scope["id"], await receive()))
            while scope["id"] == "a" and not released.is_set():
                try:
                    await released.wait()
                except asyncio.CancelledError:
                    pass

    hub = Hub(application, 1, eviction_grace=0.01, cancel_timeout=0.05, observer=events)
    try:
        hub.put("a", 1)
        await until(lambda: received)
        hub.put("b", 2)
        hub.put("a", 3)
        await until(lambda: ("b", 2) in received)
        reason = "the last instance of its scope ignores its cancellation"
        assert events.of("dropped") == [["a", 3, reason]]
        hub.put("a", 4)
        with pytest.raises(ScopeBlockedError, match="'a' ignores its cancellation"):
            await hub.dispatch("a", {}, 5)
        assert events.of("dropped") == [["a", 3, reason], ["a", 4, reason]]
    finally:
        released.set()
    await until(lambda: len(events.of("ended")) >= 2)
    hub.put("a", 6)
    await until(lambda: ("a", 6) in received)


@pytest.mark.asyncio
async def test_an_application_that_catches_everything_does_not_stop_the_others(Hub, until, events):
    stop = False

    async def application(scope, receive, send):
        while not stop:
            try:
                await send(await receive())
            except BaseException:
                pass

    hub = Hub(application, 1, cancel_timeout=0.05, observer=events)
    hub.put("a", 1)
    await until(lambda: hub.sent == [1])
    hub.put("b", 2)
    await until(lambda: hub.sent == [1, 2])
    assert events.of("stuck") == [["a", "evicted"]]
    stop = True
    hub.delete_application_instance("b")
    await until(lambda: not others())


@pytest.mark.asyncio
async def test_cancelling_arun_cancels_everything_at_once(Hub):
    work = Work()
    hub = Hub(work)
    task = asyncio.create_task(hub.arun())
    await hub.handling.wait()
    hub.put("a", "hang")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 60)
    assert work.ends == ["cancelled", "finally"]
    assert not others()


@pytest.mark.asyncio
async def test_stop_ends_the_server_and_a_second_stop_hurries(Hub, until):
    work = Work()
    hub = Hub(work, shutdown_timeout=60)
    hub.stop()
    task = asyncio.create_task(hub.arun())
    await hub.handling.wait()
    hub.put("a", "hang")
    await asyncio.sleep(0)
    hub.stop()
    await until(lambda: hub.application_instances == {})
    assert not task.done()
    hub.stop()
    await asyncio.wait_for(task, 60)
    assert work.ends == ["cancelled", "finally"]
    assert not others()


@pytest.mark.asyncio
async def test_a_handle_that_ignores_its_cancellation_is_reported(Hub, caplog):
    class Stubborn(Hub):
        async def handle(self):
            self.handling.set()
            while not self.finish.is_set():
                try:
                    await self.finish.wait()
                except asyncio.CancelledError:
                    pass

    hub = Stubborn(Work(), shutdown_timeout=0.05, cancel_timeout=0.05)
    task = asyncio.create_task(hub.arun())
    await hub.handling.wait()
    hub.stop()
    await asyncio.wait_for(task, 60)
    assert "handle() or application_checker() ignores its cancellation" in caplog.text
    hub.finish.set()


@pytest.mark.asyncio
async def test_5000_instances_end_together(Hub):
    ended = 0

    async def application(scope, receive, send):
        nonlocal ended
        try:
            while True:
                await receive()
        finally:
            ended += 1

    hub = Hub(application, 5000)
    async with hub.running():
        for number in range(5000):
            hub.put(number, "x")
    assert ended == 5000
    assert not others()


PROGRAM = """
    import asyncio, logging, signal, sys
    from asgi_server.server import StatelessServer

    logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(message)s")

    async def application(scope, receive, send):
        try:
            while True:
                message = await receive()
                if message == "hang":
                    await asyncio.Event().wait()
                while message == "stubborn":
                    try:
                        await asyncio.Event().wait()
                    except asyncio.CancelledError:
                        pass
                await asyncio.sleep(0.05)
                print("handled", message, flush=True)
        finally:
            print("finally in the application", flush=True)

    class Server(StatelessServer):
        async def handle(self):
            for message in sys.argv[1].split(","):
                await self.dispatch("a", {}, message)
            print("ready", flush=True)
            if sys.argv[2:] == ["fail"]:
                raise LookupError("the stream broke")
            await asyncio.Event().wait()

        async def application_send(self, scope, message): ...

    server = Server(application, shutdown_timeout=30, cancel_timeout=0.3)
    try:
        server.run()
    finally:
        print("finally in the program", flush=True)
    print("run() returned", flush=True)
"""


class Program:
    def __init__(self, *arguments):
        self.process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(PROGRAM), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )

    def read_until(self, wanted):
        while wanted not in (line := self.process.stdout.readline()):
            assert line, self.process.stderr.read()

    def end(self):
        out, err = self.process.communicate(timeout=30)
        return self.process.returncode, out, err


signals = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
posix = pytest.mark.skipif(sys.platform == "win32", reason="signals are sent to a POSIX process")


@posix
@signals
def test_a_signal_drains_runs_finally_blocks_and_returns(number):
    program = Program("1,2,3")
    program.read_until("ready")
    program.process.send_signal(number)
    status, out, err = program.end()
    assert out.splitlines() == [
        f"received {number.name}",
        "handled 1",
        "handled 2",
        "handled 3",
        "finally in the application",
        "finally in the program",
        "run() returned",
    ]
    assert err == ""
    assert status == 0


@posix
@signals
def test_a_second_signal_cuts_the_draining_short(number):
    program = Program("hang")
    program.read_until("ready")
    program.process.send_signal(number)
    program.read_until("received")
    program.process.send_signal(number)
    status, out, _ = program.end()
    assert "finally in the application" in out
    assert "run() returned" in out
    assert status == 0


@posix
def test_an_application_that_ignores_everything_does_not_keep_the_process():
    program = Program("stubborn")
    program.read_until("ready")
    for _ in range(2):
        program.process.send_signal(signal.SIGTERM)
        program.read_until("received")
    status, out, _ = program.end()
    assert "the instance of scope 'a' ignores its cancellation for 0.3 s" in out
    assert "run() returned" in out
    assert status == 0


def test_the_error_of_handle_is_the_status_of_the_process():
    status, out, err = Program("1,2", "fail").end()
    assert "handled 2" in out
    assert "finally in the program" in out
    assert "run() returned" not in out
    assert err.endswith("LookupError: the stream broke\n")
    assert status == 1


@posix
def test_signal_handlers_of_the_program_are_left_alone(Hub):
    class Asking(Hub):
        async def handle(self):
            self.inside = signal.getsignal(signal.SIGTERM)

    def own(number, frame): ...

    before = signal.signal(signal.SIGTERM, own)
    try:
        hub = Asking(Work())
        hub.run()
        assert hub.inside is own
        assert signal.getsignal(signal.SIGTERM) is own
    finally:
        signal.signal(signal.SIGTERM, before)
    interrupt = signal.getsignal(signal.SIGINT)
    hub.run()
    assert hub.inside not in (own, signal.SIG_DFL)
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    assert signal.getsignal(signal.SIGINT) is interrupt


@posix
def test_a_subclass_with_an_arun_of_its_own_can_be_stopped_by_a_signal(Hub):
    class Own(Hub):
        async def arun(self):
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.sleep(60)

    started = time.monotonic()
    Own(Work()).run()
    assert time.monotonic() - started < 30


def test_a_cancelled_error_out_of_arun_is_not_taken_for_a_signal(Hub):
    class Cancelled(Hub):
        async def handle(self):
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        Cancelled(Work()).run()
