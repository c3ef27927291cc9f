"""What subclasses and tests of asgiref's two classes rely on."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from functools import partial

import pytest
from wsgi_driver import Client, Recorder, Signal, ask, hello, http_scope

from asgi_local import Local
from asgi_sync import SyncToAsync, ThreadSensitiveContext, async_to_sync, record, sync_to_async
from asgi_wsgi import WSGIMiddleware, WsgiToAsgi, WsgiToAsgiInstance


class Application:
    def __call__(self, environ, start_response):
        return hello(environ, start_response)


pytestmark = pytest.mark.asyncio
colour = contextvars.ContextVar("colour", default="none")


async def test_the_classic_signatures():
    for cls in (WsgiToAsgi, WsgiToAsgiInstance):
        made = cls(hello, 7)
        assert (made.wsgi_application, made.duplicate_header_limit) == (hello, 7)
        assert cls(wsgi_application=hello).duplicate_header_limit == 100


async def test_the_attributes_may_be_changed_later():
    application = WsgiToAsgi(lambda environ, start_response: pytest.fail("replaced"))
    application.wsgi_application = hello
    application.duplicate_header_limit = 1
    assert (await ask(application)).body == b"hello"
    assert (await ask(application, http_scope(headers=[(b"x-a", b"1")] * 2))).status == 400


async def test_an_instance_is_an_application_for_one_request():
    assert (await ask(WsgiToAsgiInstance(hello))).body == b"hello"


async def test_the_exact_400_answer_of_asgiref():
    client = await ask(WsgiToAsgi(hello), http_scope(headers=[(b"x-a", b"1")] * 101))
    assert client.messages == [
        {"type": "http.response.start", "status": 400, "headers": [(b"content-type", b"text/plain")]},
        {"type": "http.response.body", "body": b"Bad Request: Too many duplicate headers"},
    ]


async def test_a_valueerror_of_an_overridden_build_environ_is_a_400():
    class Instance(WsgiToAsgiInstance):
        def build_environ(self, scope, body):
            raise ValueError("mine")

    assert (await ask(Instance(hello))).status == 400


async def test_build_environ_can_be_called_alone():
    instance = WsgiToAsgiInstance(None)
    instance.scope = http_scope(path="/a")
    assert instance.build_environ(instance.scope, None)["PATH_INFO"] == "/a"


async def test_build_environ_can_be_extended():
    body_types = []

    class Instance(WsgiToAsgiInstance):
        def build_environ(self, scope, body):
            assert scope is self.scope
            body_types.append(body.read())
            body.seek(0)
            return {**super().build_environ(scope, body), "mine": "yes"}

    def app(environ, start_response):
        start_response("200 OK", [])
        return [environ["mine"].encode(), environ["wsgi.input"].read()]

    client = await ask(Instance(app), http_scope(method="POST"), [b"ab", b"c"])
    assert (client.body, body_types) == (b"yesabc", [b"abc"])


async def test_start_response_can_be_extended():
    class Instance(WsgiToAsgiInstance):
        def start_response(self, status, response_headers, exc_info=None):
            assert not hasattr(self, "response_start")
            assert self.response_started is False
            assert self.response_content_length is None
            write = super().start_response(status, [*response_headers, ("X-Added", "1")], exc_info)
            assert self.response_content_length == 5
            self.response_start["headers"].append((b"x-late", b"2"))
            return write

    def app(environ, start_response):
        start_response("200 OK", [("Content-Length", "5")])
        return [b"hello"]

    instance = Instance(app)
    client = await ask(instance)
    assert client.start_message["headers"] == [
        (b"content-length", b"5"),
        (b"x-added", b"1"),
        (b"x-late", b"2"),
    ]
    assert instance.response_started is True


async def test_start_response_can_be_replaced():
    class Instance(WsgiToAsgiInstance):
        def start_response(self, status, response_headers, exc_info=None):
            self.response_start = {"type": "http.response.start", "status": 299, "headers": []}
            self.response_content_length = 2

    client = await ask(Instance(hello))
    assert (client.status, client.body) == (299, b"he")


async def test_run_wsgi_app_is_a_sync_to_async_method():
    method = WsgiToAsgiInstance.__dict__["run_wsgi_app"]
    assert isinstance(method, SyncToAsync)
    assert callable(method.func)


@pytest.mark.parametrize("sensitive", [True, False])
async def test_run_wsgi_app_can_be_made_anew_from_its_function(sensitive):
    """The common way to have requests run at the same time under asgiref."""

    class Instance(WsgiToAsgiInstance):
        run_wsgi_app = sync_to_async(
            WsgiToAsgiInstance.__dict__["run_wsgi_app"].func, thread_sensitive=sensitive
        )

    recorders = []

    def app(environ, start_response):
        start_response("200 OK", [])
        recorders.append(Recorder([environ["wsgi.input"].read(), b"x"]))
        return recorders[0]

    client = await ask(Instance(app), http_scope(method="POST"), [b"ab", b"c"])
    assert client.messages == [
        {"type": "http.response.start", "status": 200, "headers": []},
        {"type": "http.response.body", "body": b"abc", "more_body": True},
        {"type": "http.response.body", "body": b"x", "more_body": True},
        {"type": "http.response.body"},
    ]
    assert recorders[0].closed == 1


async def test_run_wsgi_app_can_be_wrapped():
    seen = []

    class Instance(WsgiToAsgiInstance):
        async def run_wsgi_app(self, body):
            seen.append(body.read())
            body.seek(0)
            await super().run_wsgi_app(body)
            seen.append(self.response_started)

    assert (await ask(Instance(hello), body=[b"a", b"b"])).body == b"hello"
    assert seen == [b"ab", True]

    def fails(environ, start_response):
        raise LookupError("mine")

    with pytest.raises(LookupError):
        await ask(Instance(fails))


async def test_run_wsgi_app_can_be_written_as_asgiref_has_it():
    class Instance(WsgiToAsgiInstance):
        @sync_to_async
        def run_wsgi_app(self, body):
            environ = self.build_environ(self.scope, body)
            for output in self.wsgi_application(environ, self.start_response):
                if not self.response_started:
                    self.response_started = True
                    self.sync_send(self.response_start)
                self.sync_send({"type": "http.response.body", "body": output, "more_body": True})
            self.sync_send({"type": "http.response.body"})

    client = await ask(Instance(hello))
    assert (client.status, client.body, client.complete) == (200, b"hello", True)
    client = Client(Instance(hello), body=None)
    client.disconnect()
    await client.run()
    assert client.messages == []
    client = await ask(WsgiToAsgiInstance(hello), http_scope(headers=[(b"content-length", b"5")]), b"abc")
    assert client.status == 200


async def test_a_subclass_that_runs_in_steps_keeps_the_limits():
    class Instance(WsgiToAsgiInstance):
        async def run_wsgi_app(self, body):
            await super().run_wsgi_app(body)

    adapter = WsgiToAsgi(hello, max_body_size=3)._adapter
    assert (await ask(Instance(hello, adapter=adapter), body=b"abcd")).status == 413


async def test_wsgi_to_asgi_can_be_subclassed():
    class Application(WsgiToAsgi):
        async def __call__(self, scope, receive, send):
            await super().__call__({**scope, "path": "/changed"}, receive, send)

    def app(environ, start_response):
        start_response("200 OK", [])
        return [environ["PATH_INFO"].encode()]

    assert (await ask(Application(app))).body == b"/changed"


async def test_context_variables_come_back(adapt_any):
    def app(environ, start_response):
        assert colour.get() == "blue"
        colour.set("red")
        start_response("200 OK", [])
        yield b"x" * 300_000
        yield b"x" * 300_000
        colour.set("green")

    application = adapt_any(app)
    colour.set("blue")
    await application(http_scope(), (client := Client(None)).receive, client.send)
    assert client.complete
    assert colour.get() == "green"


async def test_what_a_local_holds_goes_there_and_comes_back(adapt_any):
    local = Local()

    def app(environ, start_response):
        seen = getattr(local, "before", None)
        local.inside = "set"
        start_response("200 OK", [])
        return [str(seen).encode()]

    assert (await ask(application := adapt_any(app))).body == b"None"
    assert local.inside == "set"
    local.before = "seen"
    assert (await ask(application)).body == b"seen"


@pytest.mark.parametrize("application", [hello, partial(hello), Application()])
async def test_a_recording_names_the_application(application):
    with record() as recording:
        await ask(WsgiToAsgi(application))
    named = Application if isinstance(application, Application) else hello
    assert [crossing.name for crossing in recording.crossings] == [f"{named.__module__}.{named.__qualname__}"]


async def test_send_and_receive_see_the_variables_of_the_request(adapt_any):
    seen = set()

    def app(environ, start_response):
        environ["wsgi.input"].read()
        start_response("200 OK", [])
        yield from [b"x" * 100_000] * 10

    class Noting(Client):
        async def receive(self):
            seen.add(colour.get())
            return await super().receive()

        async def send(self, message):
            seen.add(colour.get())
            await super().send(message)

    client = Noting(adapt_any(app), http_scope(method="POST"), [b"a", b"b"])
    colour.set("request")
    await client.run()
    assert seen == {"request"}


async def test_async_to_sync_in_the_application_uses_the_loop_of_the_request(adapt_any):
    loops = []

    async def work():
        loops.append(asyncio.get_running_loop())
        return b"from the loop"

    def app(environ, start_response):
        start_response("200 OK", [])
        return [async_to_sync(work)()]

    assert (await ask(adapt_any(app))).body == b"from the loop"
    assert loops == [asyncio.get_running_loop()]


async def test_each_thread_sensitive_context_has_its_own_thread():
    meeting = threading.Barrier(2, timeout=30)

    def app(environ, start_response):
        meeting.wait()
        return hello(environ, start_response)

    application = WsgiToAsgi(app)

    async def request():
        async with ThreadSensitiveContext():
            return await ask(application)

    clients = await asyncio.gather(request(), request())
    assert [client.body for client in clients] == [b"hello"] * 2


async def test_middleware_that_hops_to_the_sensitive_thread_does_not_deadlock():
    """A receive() or send() that itself needs the thread on which the application waits."""
    hops = []

    def app(environ, start_response):
        start_response("200 OK", [])
        while data := environ["wsgi.input"].read(3):
            yield data * 100_000

    class Hopping(Client):
        async def receive(self):
            await sync_to_async(hops.append)("receive")
            return await super().receive()

        async def send(self, message):
            await sync_to_async(hops.append)("send")
            await super().send(message)

    for options in ({}, {"stream": True}):
        client = Hopping(WsgiToAsgi(app, **options), http_scope(method="POST"), [b"abc", b"def"])
        await client.run()
        assert client.body == b"abc" * 100_000 + b"def" * 100_000


async def test_the_middleware_can_be_thread_sensitive_and_the_classic_class_not():
    threads = set()

    def app(environ, start_response):
        threads.add(threading.current_thread().name)
        return hello(environ, start_response)

    await ask(WsgiToAsgi(app, thread_sensitive=False, workers=1))
    assert all(name.startswith("asgi-wsgi") for name in threads)
    threads.clear()
    await ask(WSGIMiddleware(app, thread_sensitive=True))
    assert not any(name.startswith("asgi-wsgi") for name in threads)


async def test_start_response_after_the_request_is_harmless(adapt):
    kept = []
    done = Signal()

    def app(environ, start_response):
        kept.append(start_response("200 OK", []))
        return [b"x"]

    await ask(adapt(app))
    with pytest.raises(OSError, match="over"):
        kept[0](b"late")
    done.set()
