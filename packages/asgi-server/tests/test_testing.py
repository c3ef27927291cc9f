"""The communicator: what asgiref's tests rely on, and what is better than there."""

import asyncio
import contextvars
import gc
import inspect
import time

import pytest

from asgi_server import testing
from asgi_server.testing import ApplicationCommunicator, ApplicationEndedError

pytestmark = pytest.mark.asyncio


async def echo(scope, receive, send):
    while True:
        await send(await receive())


async def failing(scope, receive, send):
    await send("before the crash")
    raise LookupError("crashed")


async def returning(scope, receive, send):
    await send("the only message")


class Stubborn:
    """Ignores cancellation until it is released."""

    _asgi_single_callable = True

    def __init__(self):
        self.released = asyncio.Event()
        self.cancellations = 0

    async def __call__(self, scope, receive, send):
        while not self.released.is_set():
            try:
                await self.released.wait()
            except asyncio.CancelledError:
                self.cancellations += 1


async def test_signatures_are_asgirefs():
    def defaults(method):
        return {
            name: parameter.default
            for name, parameter in inspect.signature(method).parameters.items()
            if name != "self"
        }

    empty = inspect.Parameter.empty
    assert defaults(ApplicationCommunicator) == {"application": empty, "scope": empty}
    assert defaults(ApplicationCommunicator.wait) == {"timeout": 1}
    assert defaults(ApplicationCommunicator.stop) == {"exceptions": True}
    assert defaults(ApplicationCommunicator.send_input) == {"message": empty}
    assert defaults(ApplicationCommunicator.receive_output) == {"timeout": 1}
    assert defaults(ApplicationCommunicator.receive_nothing) == {"timeout": 0.1, "interval": 0.01}


async def test_the_attributes_are_there():
    scope = {"type": "x"}
    communicator = ApplicationCommunicator(echo, scope)
    assert communicator.scope is scope
    assert communicator.application is echo
    await communicator.send_input(1)
    await communicator.send_input(2)
    while communicator.output_queue.qsize() < 2:
        await asyncio.sleep(0)
    assert not communicator.output_queue.empty()
    assert await communicator.output_queue.get() == 1
    assert await communicator.receive_output() == 2
    assert communicator.input_queue.empty()
    assert isinstance(communicator.future, asyncio.Future)
    communicator.stop()
    await communicator.wait()


async def test_a_subclass_may_set_its_scope_before_init():
    class WebsocketCommunicator(ApplicationCommunicator):
        def __init__(self, application, path):
            self.scope = {"type": "websocket", "path": path}
            super().__init__(application, self.scope)

    async def application(scope, receive, send):
        await send(scope["path"])

    assert await WebsocketCommunicator(application, "/x").receive_output() == "/x"


async def test_the_application_runs_in_an_empty_context():
    variable = contextvars.ContextVar("variable", default="unset")

    async def application(scope, receive, send):
        await send(variable.get())

    variable.set("the test's")
    assert await ApplicationCommunicator(application, {}).receive_output() == "unset"


async def test_a_double_callable_application_is_adapted():
    class Application:
        def __init__(self, scope):
            self.scope = scope

        async def __call__(self, receive, send):
            await send(self.scope)

    assert await ApplicationCommunicator(Application, "scope").receive_output() == "scope"


async def test_a_timeout_leaves_the_application_running():
    async with ApplicationCommunicator(echo, {}) as communicator:
        with pytest.raises(TimeoutError):
            await communicator.receive_output(timeout=0.01)
        assert not communicator.future.done()
        await communicator.send_input("late")
        assert await communicator.receive_output() == "late"


async def test_a_timeout_says_what_was_waited_for_and_what_was_sent():
    async with ApplicationCommunicator(echo, {}) as communicator:
        await communicator.send_input({"type": "first"})
        await communicator.receive_output()
        with pytest.raises(TimeoutError) as caught:
            await communicator.receive_output(timeout=0.01)
    assert str(caught.value) == (
        "waited 0.01 s for a message; the application is still running. "
        "Sent so far (1): {'type': 'first'}; received so far (1): {'type': 'first'}."
    )


async def test_a_timeout_shows_the_last_messages_only():
    async with ApplicationCommunicator(echo, {}) as communicator:
        for number in range(9):
            await communicator.send_input(number)
        with pytest.raises(
            TimeoutError, match=r"Sent so far \(9\): \.\.\. 4, 5, 6, 7, 8; received so far \(9\)"
        ):
            for _ in range(10):
                await communicator.receive_output(timeout=0.05)


async def test_output_before_a_crash_can_be_read_and_then_the_error_comes_at_once():
    communicator = ApplicationCommunicator(failing, {})
    assert await communicator.receive_output() == "before the crash"
    started = time.monotonic()
    for _ in range(2):
        with pytest.raises(LookupError, match="crashed"):
            await communicator.receive_output(timeout=30)
    assert time.monotonic() - started < 10


async def test_a_crash_while_waiting_ends_the_wait():
    async def application(scope, receive, send):
        await receive()
        raise LookupError("crashed")

    communicator = ApplicationCommunicator(application, {})
    receiving = asyncio.create_task(communicator.receive_output(timeout=30))
    await asyncio.sleep(0)
    await communicator.send_input("go")
    with pytest.raises(LookupError, match="crashed"):
        await asyncio.wait_for(receiving, 60)


async def test_an_application_that_returned_ends_the_wait_at_once():
    communicator = ApplicationCommunicator(returning, {})
    assert await communicator.receive_output() == "the only message"
    started = time.monotonic()
    with pytest.raises(ApplicationEndedError, match="waited for a message, but the application has returned"):
        await communicator.receive_output(timeout=30)
    assert time.monotonic() - started < 10
    assert issubclass(ApplicationEndedError, TimeoutError)


async def test_an_application_that_was_cancelled_does_not_cancel_the_test():
    communicator = ApplicationCommunicator(echo, {})
    assert await communicator.receive_nothing(timeout=0)
    communicator.stop()
    await communicator.wait()
    with pytest.raises(ApplicationEndedError, match="the application was cancelled"):
        await communicator.receive_output()
    communicator.stop()


async def test_a_cancelled_receive_loses_no_message():
    async with ApplicationCommunicator(echo, {}) as communicator:
        receiving = asyncio.create_task(communicator.receive_output())
        await asyncio.sleep(0)
        await communicator.send_input("kept")
        while communicator.output_queue.empty():
            await asyncio.sleep(0)
        receiving.cancel()
        result = await asyncio.gather(receiving, return_exceptions=True)
        if isinstance(result[0], asyncio.CancelledError):
            assert await communicator.receive_output() == "kept"
        else:
            assert result == ["kept"]


async def test_messages_keep_their_order():
    async def application(scope, receive, send):
        await receive()
        for number in range(100):
            await send(number)

    async with ApplicationCommunicator(application, {}) as communicator:
        receiving = asyncio.create_task(communicator.receive_output())
        await communicator.send_input("go")
        received = [await receiving] + [await communicator.receive_output() for _ in range(99)]
    assert received == list(range(100))


async def test_send_input_raises_the_error_of_a_dead_application():
    communicator = ApplicationCommunicator(failing, {})
    await communicator.receive_output()
    with pytest.raises(LookupError):
        await communicator.send_input("x")


async def test_receive_nothing():
    async with ApplicationCommunicator(echo, {}) as communicator:
        assert await communicator.receive_nothing(timeout=0.02) is True
        await communicator.send_input("x")
        assert await communicator.receive_nothing(timeout=30) is False
        assert await communicator.receive_output() == "x"
        assert await communicator.receive_nothing(timeout=0) is True


async def test_receive_nothing_ends_with_the_application():
    communicator = ApplicationCommunicator(returning, {})
    await communicator.receive_output()
    assert await asyncio.wait_for(communicator.receive_nothing(timeout=60), 60) is True
    crashed = ApplicationCommunicator(failing, {})
    await crashed.receive_output()
    with pytest.raises(LookupError):
        await asyncio.wait_for(crashed.receive_nothing(timeout=60), 60)


async def test_wait_returns_after_the_end_and_raises_errors():
    await ApplicationCommunicator(returning, {}).wait()
    with pytest.raises(LookupError):
        await ApplicationCommunicator(failing, {}).wait()


async def test_wait_cancels_the_application_after_its_timeout():
    communicator = ApplicationCommunicator(echo, {})
    with pytest.raises(
        TimeoutError, match=r"waited 0\.01 s for the application's end; .* Nothing was sent so far"
    ):
        await communicator.wait(timeout=0.01)
    assert communicator.future.cancelled()


async def test_an_error_of_the_cleanup_is_raised_instead_of_the_timeout():
    async def application(scope, receive, send):
        try:
            await receive()
        finally:
            raise LookupError("cleanup failed")

    with pytest.raises(LookupError, match="cleanup failed") as caught:
        await ApplicationCommunicator(application, {}).wait(timeout=0.01)
    assert isinstance(caught.value.__context__, (TimeoutError, asyncio.CancelledError))


async def test_wait_raises_its_own_cancellation():
    communicator = ApplicationCommunicator(echo, {})
    waiting = asyncio.create_task(communicator.wait(timeout=30))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert communicator.future.cancelled()


async def test_wait_does_not_wait_for_an_application_that_ignores_its_cancellation(monkeypatch):
    monkeypatch.setattr("asgi_server._communicator.CANCEL_TIMEOUT", 0.05)
    stubborn = Stubborn()
    communicator = ApplicationCommunicator(stubborn, {})
    with pytest.raises(RuntimeError, match="ignores its cancellation"):
        await asyncio.wait_for(communicator.wait(timeout=0.01), 60)
    assert stubborn.cancellations == 1
    stubborn.released.set()
    await communicator.wait()


async def test_stop():
    communicator = ApplicationCommunicator(echo, {})
    communicator.stop()
    _ = communicator.future
    communicator.stop()
    await communicator.wait()
    failed = ApplicationCommunicator(failing, {})
    await failed.receive_output()
    failed.stop(exceptions=False)
    with pytest.raises(LookupError):
        failed.stop()


async def test_the_context_manager_starts_and_stops_the_application():
    async with ApplicationCommunicator(echo, {}) as communicator:
        future = communicator.future
        await asyncio.sleep(0)
        assert not future.done()
    assert future.cancelled()


async def test_the_context_manager_raises_an_error_that_nobody_saw():
    with pytest.raises(LookupError, match="crashed"):
        async with ApplicationCommunicator(failing, {}) as communicator:
            assert await communicator.receive_output() == "before the crash"
    async with ApplicationCommunicator(failing, {}) as communicator:
        await communicator.receive_output()
        with pytest.raises(LookupError):
            await communicator.receive_output()


async def test_the_tests_own_error_wins_and_mentions_the_applications():
    with pytest.raises(AssertionError) as caught:
        async with ApplicationCommunicator(failing, {}) as communicator:
            await communicator.receive_output()
            raise AssertionError("of the test")
    assert caught.value.__notes__ == ["The application failed too: LookupError('crashed')"]


async def test_a_forgotten_communicator_stops_its_application():
    ended = asyncio.Event()

    async def application(scope, receive, send):
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    communicator = ApplicationCommunicator(application, {})
    _ = communicator.future
    await asyncio.sleep(0)
    communicator.__del__()
    del communicator
    gc.collect()
    await asyncio.wait_for(ended.wait(), 60)


async def test_an_application_that_cannot_be_called_is_refused():
    with pytest.raises(TypeError, match="the application must be callable, not 7"):
        ApplicationCommunicator(7, {})


async def test_every_name_of_the_module_is_there():
    assert all(hasattr(testing, name) for name in testing.__all__)
