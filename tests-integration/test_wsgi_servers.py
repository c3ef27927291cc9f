"""WSGI programs under real ASGI servers, and Starlette under WSGI servers, over real sockets."""

import contextlib
import hashlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
BLOCK = bytes(range(256)) * 256
SIZE = 800 * len(BLOCK)
# Longer than a busy machine takes; only a hang waits for it.
PATIENCE = 60

COMMANDS = {
    "uvicorn": ["-m", "uvicorn", "--fd", "{fd}", "--lifespan", "on", "wsgi_programs:application"],
    "hypercorn": ["-m", "hypercorn", "-b", "fd://{fd}", "wsgi_programs:application"],
}


class Server:
    """A server process, and ways to talk to it."""

    def __init__(self, command: list[str], mark: Path, log: Path, **variables: str) -> None:
        listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = listening.getsockname()[1]
        self.mark = mark
        self.log = log
        with log.open("wb") as output, listening:
            self.process = subprocess.Popen(
                [sys.executable, *(part.format(fd=listening.fileno()) for part in command)],
                cwd=HERE,
                env=os.environ | variables | {"MARK": str(mark), "PYTHONDONTWRITEBYTECODE": "1"},
                pass_fds=[listening.fileno()],
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)

    def ask(self, method: str, path: str, body: Any = None, **options: Any) -> tuple[int, bytes]:
        with contextlib.closing(self.connect()) as connection:
            connection.request(method, path, body, **options)
            response = connection.getresponse()
            return response.status, response.read()

    def stop(self) -> str:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                raise
        return self.log.read_text(encoding="utf-8", errors="replace")


@pytest.fixture(params=["WSGIMiddleware", "WsgiToAsgi"])
def adapter(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(params=COMMANDS)
def server_name(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    if find_spec(name) is None:
        pytest.skip(f"{name} is not installed")
    return name


@pytest.fixture(params=["raw", "flask"])
def server(
    request: pytest.FixtureRequest, server_name: str, adapter: str, tmp_path: Path
) -> Iterator[Server]:
    if request.param == "flask" and find_spec("flask") is None:
        pytest.skip("flask is not installed")
    made = Server(
        COMMANDS[server_name], tmp_path / "mark", tmp_path / "log", PROGRAM=request.param, ADAPTER=adapter
    )
    try:
        yield made
    finally:
        if made.process.poll() is None:
            made.process.kill()
        made.process.wait()


def test_keep_alive_and_head(server: Server) -> None:
    with contextlib.closing(server.connect()) as connection:
        sockets = set()
        for method in ("GET", "HEAD", "GET"):
            connection.request(method, "/hello")
            response = connection.getresponse()
            assert response.status == 200
            assert response.read() == (b"" if method == "HEAD" else b"hello")
            assert connection.sock is not None
            sockets.add(connection.sock.getsockname())
    assert len(sockets) == 1
    log = server.stop()
    assert "Traceback" not in log
    assert server.process.returncode in (0, -signal.SIGTERM)


def test_upload_of_50_mib(server: Server) -> None:
    body = BLOCK * 800
    expected = hashlib.sha256(body).hexdigest().encode()
    assert server.ask("POST", "/upload", body) == (200, expected)
    chunks = (body[at : at + 1_000_000] for at in range(0, len(body), 1_000_000))
    assert server.ask("POST", "/upload", chunks, encode_chunked=True) == (200, expected)
    assert "Traceback" not in server.stop()


def test_download_of_50_mib_to_a_slow_reader_beside_fast_requests(server: Server) -> None:
    with contextlib.closing(server.connect()) as slow:
        slow.request("GET", "/download")
        response = slow.getresponse()
        first = response.read(10)
        for _ in range(20):
            assert server.ask("GET", "/hello") == (200, b"hello")
        rest = response.read()
    assert first + rest == BLOCK * 800
    assert "Traceback" not in server.stop()


def test_a_client_killed_in_mid_download(server: Server) -> None:
    with contextlib.closing(server.connect()) as connection:
        connection.request("GET", "/download")
        assert connection.getresponse().read(1000)
        assert connection.sock is None or not server.mark.exists()
    killed = time.monotonic()
    while not server.mark.exists():
        assert time.monotonic() - killed < PATIENCE, "the generator was not closed"
        time.sleep(0.01)
    assert time.monotonic() - killed < 5  # a second on a machine that has nothing else to do
    assert server.ask("GET", "/hello") == (200, b"hello")
    assert "Traceback" not in server.stop()


def test_an_upload_that_breaks_off(server: Server) -> None:
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as client:
            client.sendall(b"POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nabc")
    assert server.ask("GET", "/hello") == (200, b"hello")
    # Flask logs by itself that its view got an OSError; the servers have nothing to report.
    log = server.stop()
    assert "Exception in ASGI application" not in log
    assert "Error in ASGI Framework" not in log


def test_200_parallel_requests(server: Server) -> None:
    with ThreadPoolExecutor(200) as executor:
        answers = list(executor.map(lambda _: server.ask("GET", "/hello"), range(200)))
    assert answers == [(200, b"hello")] * 200
    assert "Traceback" not in server.stop()


def test_graceful_shutdown_in_the_middle_of_a_response(server: Server) -> None:
    with contextlib.closing(server.connect()) as connection:
        connection.request("GET", "/ticking")
        response = connection.getresponse()
        assert response.readline() == b"0\n"
        server.process.send_signal(signal.SIGTERM)
        assert response.read() == b"".join(b"%d\n" % number for number in range(1, 20))
    server.process.wait(PATIENCE)
    assert "Traceback" not in server.stop()


def test_an_error_of_the_application_is_logged_once(server: Server) -> None:
    assert server.ask("GET", "/error")[0] == 500
    log = server.stop()
    assert log.count("LookupError: mine") == 1


def test_write(server_name: str, adapter: str, tmp_path: Path) -> None:
    server = Server(
        COMMANDS[server_name], tmp_path / "mark", tmp_path / "log", PROGRAM="raw", ADAPTER=adapter
    )
    try:
        assert server.ask("GET", "/write") == (200, BLOCK * 10 + b"end")
    finally:
        server.stop()


WAITRESS = """
import signal, socket, sys, waitress
from asgi_program import application
signal.signal(signal.SIGTERM, signal.default_int_handler)  # waitress ends in order after Ctrl-C
waitress.serve(application, sockets=[socket.socket(fileno=int(sys.argv[1]))])
"""
WSGI_COMMANDS = {
    "gunicorn sync": ["-m", "gunicorn", "-b", "fd://{fd}", "-w", "2", "asgi_program:application"],
    "gunicorn gthread": ["-m", "gunicorn", "-b", "fd://{fd}", "--threads", "4", "asgi_program:application"],
    "gunicorn preload": [
        "-m",
        "gunicorn",
        "-b",
        "fd://{fd}",
        "-w",
        "2",
        "--preload",
        "asgi_program:application",
    ],
    "waitress": ["-c", WAITRESS, "{fd}"],
}


@pytest.fixture(params=WSGI_COMMANDS)
def wsgi_server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    name: str = request.param
    for needed in (name.split()[0], "starlette"):
        if find_spec(needed) is None:
            pytest.skip(f"{needed} is not installed")
    made = Server(WSGI_COMMANDS[name], tmp_path / "mark", tmp_path / "log")
    try:
        yield made
    finally:
        made.stop()


def test_starlette_requests_and_lifespan(wsgi_server: Server) -> None:
    with ThreadPoolExecutor(8) as executor:
        answers = list(executor.map(lambda _: wsgi_server.ask("GET", "/hello"), range(40)))
    assert answers == [(200, b"42")] * 40
    wsgi_server.stop()
    notes = [line.split() for line in wsgi_server.mark.read_text(encoding="utf-8").splitlines()]
    processes = {process for process, _ in notes}
    for process in processes:
        events = [event for owner, event in notes if owner == process]
        assert events.count("startup") == 1
        assert events[0] == "startup"
        assert events[-1] == "shutdown"
    assert sum(event == "background" for _, event in notes) == 40


def test_starlette_uploads(wsgi_server: Server) -> None:
    body = b"x" * 5_000_000
    assert wsgi_server.ask("POST", "/upload", body) == (200, b"5000000")
    chunks = (body[at : at + 100_000] for at in range(0, len(body), 100_000))
    assert wsgi_server.ask("POST", "/upload", chunks, encode_chunked=True) == (200, b"5000000")


def test_starlette_downloads(wsgi_server: Server) -> None:
    assert wsgi_server.ask("GET", "/download") == (200, b"x" * (160 * 65536))
    with contextlib.closing(wsgi_server.connect()) as connection:
        connection.request("GET", "/download")
        assert connection.getresponse().read(1000) == b"x" * 1000
    assert wsgi_server.ask("GET", "/hello") == (200, b"42")


def test_starlette_errors_and_silence_are_answered_500(wsgi_server: Server) -> None:
    assert wsgi_server.ask("GET", "/error")[0] == 500
    assert wsgi_server.ask("GET", "/nothing")[0] == 500
    assert wsgi_server.ask("GET", "/hello") == (200, b"42")
    log = wsgi_server.stop()
    assert "LookupError: mine" in log
    assert "returned without sending a response" in log
