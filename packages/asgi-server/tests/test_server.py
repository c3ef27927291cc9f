"""What every subclass of asgiref's StatelessServer relies on."""

import asyncio
import inspect
import logging
import threading

import pytest

import asgi_server
from asgi_server.server import StatelessServer


async def echo(scope, receive, send):
    while True:
        await send(await receive())


def test_the_names_are_there():
    assert asgi_server.StatelessServer is StatelessServer
    parameters = list(inspect.signature(StatelessServer).parameters.values())
    assert [parameter.name for parameter in parameters[:2]] == ["application", "max_applications"]
    assert parameters[1].default == 1000
    assert all(parameter.kind is inspect.Parameter.KEYWORD_ONLY for parameter in parameters[2:])
    assert StatelessServer.application_checker_interval == 0.1


def test_coroutine_functions_and_functions_stay_what_they_are():
    coroutine_functions = (
        "arun",
        "handle",
        "application_send",
        "application_checker",
        "application_exception",
    )
    functions = (
        "run",
        "get_or_create_application_instance",
        "delete_oldest_application_instance",
        "delete_application_instance",
    )
    assert all(inspect.iscoroutinefunction(getattr(StatelessServer, name)) for name in coroutine_functions)
    assert not any(inspect.iscoroutinefunction(getattr(StatelessServer, name)) for name in functions)


@pytest.mark.asyncio
async def test_unwritten_methods_say_so():
    server = StatelessServer(echo)
    with pytest.raises(NotImplementedError, match=r"StatelessServer must implement handle\(\)"):
        await server.arun()
    with pytest.raises(NotImplementedError, match="application_send"):
        await server.application_send({}, {})


@pytest.mark.asyncio
async def test_an_instance_is_a_dict_with_the_four_keys(Hub, until):
    hub = Hub(echo)
    scope = object()
    queue = hub.get_or_create_application_instance("a", scope)
    details = hub.application_instances["a"]
    assert isinstance(details, dict)
    assert set(details) == {"input_queue", "future", "scope", "last_used"}
    assert details["input_queue"] is queue
    assert details["scope"] is scope
    assert isinstance(details["future"], asyncio.Future)
    assert hub.get_or_create_application_instance("a", scope) is queue
    await queue.put("one")
    queue.put_nowait("two")
    await until(lambda: hub.sent == ["one", "two"])
    hub.delete_application_instance("a")
    assert hub.application_instances == {}
    await until(details["future"].done)


@pytest.mark.asyncio
async def test_any_object_is_a_scope_and_reaches_application_send(until):
    seen = []

    class Server(StatelessServer):
        async def application_send(self, scope, message):
            seen.append((scope, message))

    server = Server(echo)
    for scope in (("127.0.0.1", 9), None, [], 7):
        server.get_or_create_application_instance(repr(scope), scope).put_nowait("x")
    await until(lambda: len(seen) == 4)
    assert sorted(map(repr, (scope for scope, _ in seen))) == sorted(
        map(repr, [("127.0.0.1", 9), None, [], 7])
    )
    for scope_id in list(server.application_instances):
        server.delete_application_instance(scope_id)


@pytest.mark.asyncio
async def test_the_queue_is_unbounded_by_default(Hub):
    hub = Hub(echo)
    for number in range(5000):
        queue = hub.put("a", number)
    assert queue.maxsize == 0
    assert not queue.full()


@pytest.mark.asyncio
async def test_a_double_callable_application_is_served(Hub, until):
    class Application:
        def __init__(self, scope):
            self.scope = scope

        async def __call__(self, receive, send):
            await send((self.scope["id"], await receive()))

    hub = Hub(Application)
    hub.put("a", 1)
    await until(lambda: hub.sent == [("a", 1)])


@pytest.mark.asyncio
async def test_arun_returns_when_handle_does_and_passes_its_errors_on(Hub):
    class Done(StatelessServer):
        async def handle(self):
            return

    class Failing(StatelessServer):
        async def handle(self):
            raise LookupError("the stream broke")

    await asyncio.wait_for(Done(echo).arun(), 60)
    with pytest.raises(LookupError, match="the stream broke"):
        await asyncio.wait_for(Failing(echo).arun(), 60)


@pytest.mark.asyncio
async def test_the_error_of_an_overridden_checker_ends_the_server(Hub):
    class Checked(Hub):
        async def application_checker(self):
            await asyncio.sleep(self.application_checker_interval)
            raise LookupError("checked")

    with pytest.raises(LookupError, match="checked"):
        await asyncio.wait_for(Checked(echo).arun(), 60)


@pytest.mark.asyncio
async def test_a_checker_that_returns_does_not_end_the_server(Hub):
    class Checked(Hub):
        async def application_checker(self):
            return

    hub = Checked(echo)
    async with hub.running() as task:
        await asyncio.sleep(0.01)
        assert not task.done()


@pytest.mark.asyncio
async def test_channels_worker_keeps_working(until):
    """channels.worker: listeners in tasks of handle(), each putting into the queue of its channel."""
    layer = {"mail": asyncio.Queue(), "log": asyncio.Queue()}
    seen = []

    class Worker(StatelessServer):
        def __init__(self, application, channels, channel_layer, max_applications=1000):
            super().__init__(application, max_applications)
            self.channels = channels
            self.channel_layer = channel_layer

        async def handle(self):
            listeners = [asyncio.ensure_future(self.listener(channel)) for channel in self.channels]
            await asyncio.wait(listeners)
            for listener in listeners:
                listener.result()

        async def listener(self, channel):
            while (message := await self.channel_layer[channel].get()) is not None:
                queue = self.get_or_create_application_instance(
                    channel, {"type": "channel", "channel": channel}
                )
                await queue.put(message)

    async def consumer(scope, receive, send):
        while True:
            seen.append((scope["channel"], await receive()))

    for channel, message in (("mail", 1), ("log", 2), ("mail", 3), ("mail", None), ("log", None)):
        layer[channel].put_nowait(message)
    await asyncio.wait_for(Worker(consumer, ["mail", "log"], layer).arun(), 60)
    assert sorted(seen) == [("log", 2), ("mail", 1), ("mail", 3)]


def test_a_subclass_that_overrides_run_gets_its_errors_reported():
    reported = []

    class Server(StatelessServer):
        def run(self):
            async def main():
                self.get_or_create_application_instance("a", {})
                await self.reported.wait()

            self.reported = asyncio.Event()
            asyncio.run(asyncio.wait_for(main(), 60))

        async def application_exception(self, exception, application_details):
            reported.append((str(exception), application_details["scope"]))
            self.reported.set()

    async def failing(scope, receive, send):
        raise ValueError("no luck")

    Server(failing).run()
    assert reported == [("no luck", {})]


@pytest.mark.asyncio
async def test_overridden_eviction_is_used(Hub, until):
    deleted = []

    class Evicting(Hub):
        def delete_oldest_application_instance(self):
            deleted.append("oldest")
            super().delete_oldest_application_instance()

        def delete_application_instance(self, scope_id):
            deleted.append(scope_id)
            super().delete_application_instance(scope_id)

    hub = Evicting(echo, 2)
    for scope_id in "abc":
        hub.put(scope_id, scope_id)
    assert deleted == ["oldest", "a"]
    await until(lambda: sorted(hub.sent) == ["a", "b", "c"])


@pytest.mark.asyncio
async def test_deleting_an_unknown_instance_is_a_key_error(Hub):
    hub = Hub(echo)
    with pytest.raises(KeyError, match="nobody"):
        hub.delete_application_instance("nobody")
    hub.delete_oldest_application_instance()


@pytest.mark.asyncio
async def test_the_application_gets_keywords_if_it_takes_them(Hub, until):
    seen = []

    async def with_keywords(*, send, receive, scope):
        seen.append(scope["id"])

    async def without(environment, incoming, outgoing):
        seen.append(environment["id"])
        await outgoing(await incoming())

    async def anything(*args, **kwargs):
        seen.append((args, sorted(kwargs)))

    class Callable:
        _asgi_single_callable = True

        def __call__(self, scope, receive, send, /):
            return without(scope, receive, send)

    for application in (with_keywords, without, anything, Callable()):
        hub = Hub(application)
        hub.put("a", "x")
        await until(lambda: not hub.application_instances)  # noqa: B023  # awaited before the next turn
    assert seen == ["a", "a", ((), ["receive", "scope", "send"]), "a"]


def test_run_works_in_a_thread_and_swallows_keyboard_interrupt(caplog):
    class Server(StatelessServer):
        error = None

        async def handle(self):
            if self.error:
                raise self.error

    server = Server(echo)
    thread = threading.Thread(target=server.run)
    thread.start()
    thread.join(10)
    assert not thread.is_alive()
    server.error = KeyboardInterrupt()
    with caplog.at_level(logging.INFO, "asgi_server.server"):
        server.run()
    assert "Exiting due to Ctrl-C/interrupt" in caplog.text


def test_a_server_can_run_twice(until):
    class Server(StatelessServer):
        async def handle(self):
            self.seen = []
            await self.dispatch("a", {}, "x")
            await until(lambda: self.seen)

        async def application_send(self, scope, message):
            self.seen.append(message)

    server = Server(echo)
    for _ in range(2):
        server.run()
        assert server.seen == ["x"]
        assert server.application_instances == {}


@pytest.mark.asyncio
async def test_a_server_cannot_run_twice_at_once(Hub):
    hub = Hub(echo)
    async with hub.running():
        with pytest.raises(RuntimeError, match="running already"):
            await hub.arun()


@pytest.mark.asyncio
async def test_entries_put_there_by_hand_are_reported_by_the_checker(Hub, until):
    hub = Hub(echo)
    future = asyncio.get_running_loop().create_future()
    future.set_exception(LookupError("by hand"))
    details = {"input_queue": asyncio.Queue(), "future": future, "scope": None, "last_used": 0}
    async with hub.running():
        hub.application_instances["x"] = details
        assert hub.get_or_create_application_instance("x", None) is details["input_queue"]
        await until(lambda: hub.errors)
        assert hub.errors == [(future.exception(), details)]
        assert "x" not in hub.application_instances


@pytest.mark.parametrize("application", [7, "app", object()])
def test_an_application_that_cannot_be_called_is_refused(application):
    with pytest.raises(TypeError, match="the application must be callable, not"):
        StatelessServer(application)


@pytest.mark.asyncio
async def test_the_application_may_be_set_later(Hub, until):
    hub = Hub(None)
    with pytest.raises(TypeError, match="must be callable, not None"):
        hub.get_or_create_application_instance("a", {})
    assert hub.application_instances == {}
    hub.application = echo
    hub.put("a", 1)
    await until(lambda: hub.sent == [1])
