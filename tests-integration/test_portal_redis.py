"""redis-py's asyncio client in a sync program, against a real server."""

import shutil
import socket
import subprocess
import time

import pytest

from asgi_sync import start_blocking_portal

redis = pytest.importorskip("redis.asyncio")
pytestmark = pytest.mark.skipif(shutil.which("redis-server") is None, reason="redis-server is not installed")


def accepts(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(path)
        except OSError:
            return False
    return True


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The path of the socket of a server that keeps nothing."""
    folder = tmp_path_factory.mktemp("redis")
    path = folder / "redis.sock"
    command = ["redis-server", "--port", "0", "--unixsocket", str(path), "--save", "", "--dir", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            deadline = time.monotonic() + 60
            while not accepts(str(path)):
                assert process.poll() is None, "redis-server has ended"
                assert time.monotonic() < deadline, "redis-server does not answer"
                time.sleep(0.01)
            yield str(path)
        finally:
            process.terminate()


def test_a_hundred_sync_calls_over_one_connection(server):
    with start_blocking_portal() as portal:
        client = redis.Redis(unix_socket_path=server)
        with portal.wrap_async_context_manager(client):
            before = portal.call(client.info, "stats")["total_connections_received"]
            for number in range(100):
                portal.call(client.set, f"key {number}", number)
                assert portal.call(client.get, f"key {number}") == str(number).encode()
            assert portal.call(client.info, "stats")["total_connections_received"] == before
            keys = list(portal.wrap_async_iterator(client.scan_iter(count=10), max_buffer_size=20))
            assert len(keys) == 100


def test_a_subscription_is_iterated_over(server):
    with start_blocking_portal() as portal:
        client = redis.Redis(unix_socket_path=server)
        with (
            portal.wrap_async_context_manager(client),
            portal.wrap_async_context_manager(client.pubsub()) as pubsub,
        ):
            portal.call(pubsub.subscribe, "news")
            messages = portal.wrap_async_iterator(pubsub.listen())
            assert next(messages)["type"] == "subscribe"
            for text in (b"one", b"two"):
                portal.call(client.publish, "news", text)
                assert next(messages)["data"] == text
            messages.close()
