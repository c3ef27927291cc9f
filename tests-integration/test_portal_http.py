"""An async HTTP client in a sync program: one pooled connection for all calls."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from asgi_sync import async_to_sync, start_blocking_portal

BODY = b"pooled"
RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)


class Server:
    """As much of an HTTP server as the test needs, which counts its connections."""

    def __init__(self) -> None:
        self.connections = 0
        self.requests = 0
        self._open: set[asyncio.StreamWriter] = set()

    async def start(self) -> str:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()
        return f"http://{host}:{port}/"

    async def stop(self) -> None:
        self._server.close()
        for writer in self._open:
            writer.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._open.add(writer)
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                self.requests += 1
                writer.write(RESPONSE)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._open.discard(writer)
            writer.close()


@pytest.fixture(scope="module")
def running_server():
    """Runs in a portal of its own."""
    server = Server()
    with start_blocking_portal(name="server") as portal:
        server.url = portal.call(server.start)
        yield server
        portal.call(server.stop)


@pytest.fixture
def server(running_server):
    """Counts afresh."""
    running_server.connections = running_server.requests = 0
    return running_server


def test_a_hundred_sync_calls_over_one_connection(server):
    with start_blocking_portal() as portal:
        with portal.wrap_async_context_manager(httpx.AsyncClient(trust_env=False)) as client:
            get = async_to_sync(client.get, portal=portal)
            for number in range(100):
                response = get(server.url) if number % 2 else portal.call(client.get, server.url)
                assert response.content == BODY
    assert server.requests == 100
    assert server.connections == 1


def test_threads_share_the_client(server):
    with start_blocking_portal() as portal:
        limits = httpx.Limits(max_connections=1)
        with portal.wrap_async_context_manager(httpx.AsyncClient(trust_env=False, limits=limits)) as client:
            with ThreadPoolExecutor(4) as pool:
                for response in pool.map(lambda _: portal.call(client.get, server.url), range(100)):
                    assert response.content == BODY
    assert server.connections == 1


def test_a_streamed_body_is_iterated_over(server):
    with start_blocking_portal() as portal:
        with portal.wrap_async_context_manager(httpx.AsyncClient(trust_env=False)) as client:
            with portal.wrap_async_context_manager(client.stream("GET", server.url)) as response:
                assert b"".join(portal.wrap_async_iterator(response.aiter_bytes())) == BODY
