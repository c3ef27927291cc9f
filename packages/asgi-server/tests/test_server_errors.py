"""Errors are reported at once, and nothing kills the server."""

import asyncio
import logging
import time

import pytest

from asgi_server.server import StatelessServer

pytestmark = pytest.mark.asyncio


async def crash(scope, receive, send):
    message = await receive()
    raise LookupError(message)


async def test_errors_are_reported_at_once(Hub, until):
    class Timed(Hub):
        application_checker_interval = 3600

        async def application_exception(self, exception, application_details):
            self.errors.append(time.monotonic())

    hub = Timed(crash)
    started = time.monotonic()
    async with hub.running():
        hub.put("a", "x")
        await until(lambda: hub.errors)
    assert hub.errors[0] - started < 5


async def test_errors_are_reported_without_a_running_checker(Hub, until):
    hub = Hub(crash)
    hub.put("a", "x")
    await until(lambda: [str(error) for error, _ in hub.errors] == ["x"])
    assert hub.errors[0][1]["scope"] == {"id": "a"}
    assert hub.errors[0][1].scope_id == "a"


async def test_errors_on_eviction_are_reported(Hub, until):
    async def application(scope, receive, send):
        try:
            while True:
                await receive()
        finally:
            raise LookupError(f"cleanup of {scope['id']}")

    hub = Hub(application, 1)
    hub.put("a", "x")
    await until(lambda: hub.application_instances["a"]["input_queue"].empty())
    hub.put("b", "x")
    await until(lambda: [str(error) for error, _ in hub.errors] == ["cleanup of a"])
    hub.delete_application_instance("b")
    await until(lambda: [str(error) for error, _ in hub.errors] == ["cleanup of a", "cleanup of b"])


async def test_errors_of_the_cleanup_at_shutdown_are_reported(Hub):
    async def application(scope, receive, send):
        try:
            while True:
                await receive()
        finally:
            raise LookupError("cleanup")

    hub = Hub(application)
    async with hub.running():
        hub.put("a", "x")
        await asyncio.sleep(0)
    assert [str(error) for error, _ in hub.errors] == ["cleanup"]


async def test_pending_errors_are_reported_when_handle_returns(Hub):
    class Quick(Hub):
        async def handle(self):
            self.put("a", "just before the end")

    hub = Quick(crash)
    await asyncio.wait_for(hub.arun(), 60)
    assert [str(error) for error, _ in hub.errors] == ["just before the end"]


async def test_errors_are_logged_with_scope_traceback_and_cause(until, caplog):
    async def application(scope, receive, send):
        await receive()
        try:
            raise KeyError("the cause")
        except KeyError as error:
            raise LookupError("the effect") from error

    server = StatelessServer(application)
    server.get_or_create_application_instance(("user", 7), {}).put_nowait("x")
    await until(lambda: caplog.records)
    (record,) = caplog.records
    assert record.name == "asgi_server.server"
    assert record.levelno == logging.ERROR
    assert record.getMessage() == "Exception inside application: the effect (scope ('user', 7))"
    assert isinstance(record.exc_info[1], LookupError)
    assert "KeyError: 'the cause'" in caplog.text
    assert "test_server_errors.py" in caplog.text


async def test_an_application_that_raises_when_it_is_called(Hub, until):
    class Application:
        _asgi_single_callable = True

        def __call__(self, scope, receive, send):
            raise LookupError("called")

    hub = Hub(Application())
    hub.put("a", "x")
    await until(lambda: [str(error) for error, _ in hub.errors] == ["called"])


async def test_an_application_that_returns_nothing_to_await(Hub, until):
    class Application:
        _asgi_single_callable = True

        def __call__(self, scope, receive, send):
            return None

    hub = Hub(Application())
    hub.put("a", "x")
    await until(lambda: hub.errors)
    assert isinstance(hub.errors[0][0], TypeError)


async def test_an_application_that_returns_a_future(Hub, until):
    class Application:
        _asgi_single_callable = True

        def __call__(self, scope, receive, send):
            return asyncio.gather(receive())

    hub = Hub(Application())
    hub.put("a", "x")
    await until(lambda: not hub.application_instances)
    assert hub.errors == []


async def test_a_cancelled_error_inside_one_application_does_not_kill_the_server(Hub, until):
    async def application(scope, receive, send):
        if await receive() == "cancel":
            raise asyncio.CancelledError
        await send("served")

    hub = Hub(application)
    async with hub.running() as task:
        hub.put("a", "cancel")
        await until(lambda: not hub.application_instances)
        hub.put("b", "x")
        await until(lambda: hub.sent == ["served"])
        assert not task.done()


async def test_an_exception_in_application_exception_does_not_kill_the_server(Hub, until, caplog):
    class Broken(Hub):
        async def application_exception(self, exception, application_details):
            raise ZeroDivisionError("in the report")

    hub = Broken(crash)
    async with hub.running() as task:
        hub.put("a", "the first error")
        await until(lambda: "in the report" in caplog.text)
        assert (
            "application_exception() failed for scope 'a', called with LookupError('the first error')"
            in caplog.text
        )
        hub.put("a", "another")
        await until(lambda: "another" in caplog.text)
        assert not task.done()


async def test_an_application_exception_that_is_no_coroutine_function_works(Hub, until):
    class Plain(Hub):
        def application_exception(self, exception, application_details):
            self.errors.append(exception)

    hub = Plain(crash)
    hub.put("a", "x")
    await until(lambda: hub.errors)


async def test_a_slow_application_exception_delays_nobody(Hub, until):
    class Slow(Hub):
        async def application_exception(self, exception, application_details):
            self.errors.append(exception)
            await self.finish.wait()

    async def application(scope, receive, send):
        message = await receive()
        if message == "crash":
            raise LookupError
        await send(message)

    hub = Slow(application)
    async with hub.running():
        for _ in range(3):
            hub.put("a", "crash")
        hub.put("b", "x")
        await until(lambda: len(hub.errors) == 3 and hub.sent == ["x"])


async def test_an_application_exception_that_never_returns_does_not_keep_the_server(Hub, until, caplog):
    class Endless(Hub):
        async def application_exception(self, exception, application_details):
            self.errors.append(exception)
            await asyncio.Event().wait()

    hub = Endless(crash, cancel_timeout=0.05)
    async with hub.running():
        hub.put("a", "x")
        await until(lambda: hub.errors)
    assert "1 application_exception() call(s) did not return in 0.05 s" in caplog.text


async def test_a_failing_observer_does_not_kill_the_server(Hub, until, caplog):
    class Broken:
        def __getattr__(self, name):
            raise ZeroDivisionError(name)

    async def application(scope, receive, send):
        await send(await receive())

    hub = Hub(application, observer=Broken())
    hub.put("a", "x")
    await until(lambda: hub.sent == ["x"] and not hub.application_instances)
    assert "Broken.instance_started() failed" in caplog.text
    assert "Broken.instance_ended() failed" in caplog.text


async def test_errors_of_application_send_are_the_applications(Hub, until):
    class Broken(Hub):
        async def application_send(self, scope, message):
            raise ConnectionError("gone")

    async def application(scope, receive, send):
        await send(await receive())

    hub = Broken(application)
    hub.put("a", "x")
    await until(lambda: [str(error) for error, _ in hub.errors] == ["gone"])
