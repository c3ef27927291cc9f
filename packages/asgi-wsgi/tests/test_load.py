from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from wsgi_driver import PATIENCE, Client, Signal, ask, eventually, hello, http_scope

from asgi_wsgi import WSGIMiddleware, WsgiToAsgi, _outbox, _worker_pool

pytestmark = pytest.mark.asyncio

BLOCK = b"x" * 100_000


def download_or_hello(environ, start_response):
    if environ["PATH_INFO"] != "/download":
        return hello(environ, start_response)
    start_response("200 OK", [])
    return iter(lambda: BLOCK, None)


async def stall(application, count):
    clients = [Client(application, http_scope(path="/download")) for _ in range(count)]
    for client in clients:
        client.reading.clear()
    tasks = [client.start() for client in clients]
    async with asyncio.timeout(PATIENCE):
        for client in clients:
            await client.sending.wait()
    return clients, tasks


@pytest.mark.parametrize("count", [1, 100])
async def test_clients_that_stop_reading_block_nobody(adapt, count):
    options = {"workers": 2} if adapt is WSGIMiddleware else {}
    application = adapt(download_or_hello, **options)
    clients, tasks = await stall(application, count)
    for _ in range(10):
        assert (await ask(application)).body == b"hello"
    for client in clients:
        client.disconnect()
    await asyncio.gather(*tasks)


@pytest.mark.parametrize("count", [1, 20])
async def test_clients_that_stop_reading_what_is_written_block_nobody(adapt, count, monkeypatch):
    monkeypatch.setattr(_outbox, "MOMENT", 0.002)

    def app(environ, start_response):
        if environ["PATH_INFO"] != "/download":
            return hello(environ, start_response)
        write = start_response("200 OK", [])
        for _ in range(20):
            write(BLOCK)
        return [b"end"]

    options = {"workers": 2} if adapt is WSGIMiddleware else {}
    application = adapt(app, **options)
    clients, tasks = await stall(application, count)
    for _ in range(10):
        assert (await ask(application)).body == b"hello"
    for client in clients:
        client.reading.set()
    await asyncio.gather(*tasks)
    assert all(client.body == BLOCK * 20 + b"end" for client in clients)
    assert all(client.complete for client in clients)


async def test_200_stalled_uploads_do_not_block_a_get(adapt):
    def app(environ, start_response):
        environ["wsgi.input"].read()
        return hello(environ, start_response)

    options = {"workers": 2} if adapt is WSGIMiddleware else {}
    application = adapt(app, **options)
    clients = [Client(application, http_scope(method="POST"), body=None) for _ in range(200)]
    for client in clients:
        client.upload(b"abc", more=True)
    tasks = [client.start() for client in clients]
    assert (await ask(application)).body == b"hello"
    for client in clients:
        client.upload(b"def")
    await asyncio.gather(*tasks)
    assert all(client.body == b"hello" for client in clients)


async def test_threads_are_bounded():
    running = peak = 0
    lock = threading.Lock()

    def app(environ, start_response):
        nonlocal running, peak
        with lock:
            running += 1
            peak = max(peak, running)
        time.sleep(0.005)
        with lock:
            running -= 1
        return hello(environ, start_response)

    application = WSGIMiddleware(app, workers=3)
    await asyncio.gather(*(ask(application) for _ in range(60)))
    assert peak <= 3
    names = [thread.name for thread in threading.enumerate()]
    assert all(name.startswith("asgi-wsgi") or "asgi-wsgi" not in name for name in names)


async def test_threads_stay_bounded_when_clients_stall(monkeypatch):
    """Beyond the limit a thread that waits keeps its place; as soon as a client leaves, requests go on."""
    monkeypatch.setattr(_worker_pool, "LENT_MAX", 5)
    before = threading.active_count()
    application = WSGIMiddleware(download_or_hello, workers=2)
    clients = [Client(application, http_scope(path="/download")) for _ in range(20)]
    for client in clients:
        client.reading.clear()
    tasks = [client.start() for client in clients]
    await eventually(lambda: sum(client.sending.is_set() for client in clients) == 7)
    waiting = Client(application).start()
    for _ in range(10):  # it goes as far as it can before it needs a thread
        await asyncio.sleep(0)
    assert threading.active_count() - before <= 7
    assert not waiting.done()
    for client in clients:
        client.disconnect()
    assert (await waiting).body == b"hello"
    for client, task in zip(clients, tasks, strict=True):
        if not task.done():
            client.reading.set()
            client.after_send = lambda message, client=client: client.disconnect()
    await asyncio.gather(*tasks)


async def test_no_worker_is_lost_after_60_vanished_and_cancelled_clients(adapt):
    options = {"workers": 2} if adapt is WSGIMiddleware else {}
    application = adapt(download_or_hello, **options)
    for cancelled in (False, True):
        clients, tasks = await stall(application, 60)
        for client, task in zip(clients, tasks, strict=True):
            if cancelled:
                task.cancel()
            else:
                client.disconnect()
        await asyncio.gather(*tasks, return_exceptions=True)
    results = await asyncio.gather(*(ask(application) for _ in range(20)))
    assert [client.body for client in results] == [b"hello"] * 20


async def test_the_window_bounds_what_a_stalled_client_costs(adapt_any):
    produced = 0

    def app(environ, start_response):
        nonlocal produced
        start_response("200 OK", [])
        for _ in range(1000):
            produced += 1
            yield b"x" * 10_000

    client = Client(adapt_any(app, send_window=100_000))
    client.reading.clear()
    task = client.start()
    await client.sending.wait()
    last = -1
    while last != produced:
        last = produced
        await asyncio.sleep(0.01)
    assert produced <= 12 + 10  # the window, and what was taken out of it to be sent
    client.reading.set()
    await task
    assert client.body == b"x" * 10_000_000


async def test_a_response_that_fills_the_window_does_not_wait_for_its_client(adapt):
    produced = Signal()

    def app(environ, start_response):
        start_response("200 OK", [])
        yield from [b"x" * 10_000] * 10
        produced.set()

    client = Client(adapt(app, send_window=100_000))
    client.reading.clear()
    task = client.start()
    await asyncio.to_thread(produced.wait)
    client.reading.set()
    await task
    assert client.body == b"x" * 100_000


async def test_blocks_do_not_cost_a_round_trip_each(adapt):
    """With a loop that is busy, the application goes on for as long as its window has room."""
    produced = Signal()

    def app(environ, start_response):
        start_response("200 OK", [])
        for _ in range(100):
            yield b"x"
        produced.set()
        yield b"y"

    client = Client(adapt(app))

    def block_the_loop(message):
        produced.wait()

    client.after_send = block_the_loop
    await client.run()
    assert client.body == b"x" * 100 + b"y"


async def test_each_block_is_sent_without_waiting_for_the_next(adapt_any):
    go_on = Signal()

    def app(environ, start_response):
        start_response("200 OK", [])
        yield b"first"
        go_on.wait()
        yield b"second"

    client = Client(adapt_any(app))
    client.after_send = lambda message: go_on.set() if message.get("body") == b"first" else None
    await client.run()
    assert client.body == b"firstsecond"


async def test_the_loop_stays_responsive_while_applications_block(adapt):
    blocked = Signal()
    go_on = Signal()

    def app(environ, start_response):
        blocked.set()
        go_on.wait()
        return hello(environ, start_response)

    task = Client(adapt(app)).start()
    await blocked.seen()
    began = time.perf_counter()
    for _ in range(100):
        await asyncio.sleep(0)
    assert time.perf_counter() - began < 5
    go_on.set()
    assert (await task).body == b"hello"


async def test_requests_of_the_middleware_run_at_the_same_time():
    meeting = threading.Barrier(40, timeout=PATIENCE)

    def app(environ, start_response):
        meeting.wait()
        return hello(environ, start_response)

    application = WSGIMiddleware(app)
    results = await asyncio.gather(*(ask(application) for _ in range(40)))
    assert [client.body for client in results] == [b"hello"] * 40


async def test_wsgi_to_asgi_runs_everything_on_the_sensitive_thread():
    threads = set()

    def app(environ, start_response):
        threads.add(threading.get_ident())
        start_response("200 OK", [])
        yield BLOCK * 5
        threads.add(threading.get_ident())
        yield BLOCK * 5

    application = WsgiToAsgi(app)
    await asyncio.gather(*(ask(application) for _ in range(10)))
    assert len(threads) == 1


async def test_an_executor_runs_the_application():
    def app(environ, start_response):
        start_response("200 OK", [])
        return [threading.current_thread().name.encode()]

    with ThreadPoolExecutor(2, thread_name_prefix="mine") as executor:
        application = WSGIMiddleware(app, executor=executor)
        assert (await ask(application)).body.startswith(b"mine")
    with pytest.raises(RuntimeError, match="shutdown"):
        await ask(application)


async def test_a_request_that_an_executor_drops_ends():
    busy = Signal()
    go_on = Signal()

    def app(environ, start_response):
        busy.set()
        go_on.wait()
        return hello(environ, start_response)

    executor = ThreadPoolExecutor(1)
    application = WSGIMiddleware(app, executor=executor)
    running = Client(application).start()
    await busy.seen()
    dropped = Client(application).start()
    await eventually(executor._work_queue.qsize)
    executor.shutdown(wait=False, cancel_futures=True)
    with pytest.raises(RuntimeError, match="dropped"):
        await dropped
    go_on.set()
    assert (await running).body == b"hello"
