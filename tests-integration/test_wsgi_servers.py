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
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
BLOCK = bytes(range(256)) * 256
# Longer than a busy machine takes; only a hang waits for it.
PATIENCE = 60

COMMANDS = {
    "uvicorn": ["-m", "uvicorn", "--fd", "{fd}", "--lifespan", "on", "wsgi_programs:application"],
    "hypercorn": ["-m", "hypercorn", "-b", "fd://{fd}", "wsgi_programs:application"],
}


PROGRAMS = [
    pytest.param((server, program, adapter), id=f"{program}-{server}-{adapter}")
    for server in COMMANDS
    for program in ("raw", "flask")
    for adapter in ("WSGIMiddleware", "WsgiToAsgi")
]
RAW_PROGRAMS = [program for program in PROGRAMS if "raw" in program.values[0]]


class Server:
    """A server process, and ways to talk to it."""

    def __init__(self, command: list[str], folder: Path, **variables: str) -> None:
        # The port is the system's choice, and clients can connect to it before the server has started.
        listening = socket.create_server(("127.0.0.1", 0), backlog=300)
        self.port: int = listening.getsockname()[1]
        self.mark = folder / "mark"
        self._log = folder / "log"
        self._seen = 0
        with self._log.open("wb") as output, listening:
            self.process = subprocess.Popen(
                [sys.executable, *(part.format(fd=listening.fileno()) for part in command)],
                cwd=HERE,
                # Frameworks that are compiled anew at each start would take most of the time.
                env=os.environ | variables | {"MARK": str(self.mark), "PYTHONDONTWRITEBYTECODE": ""},
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

    def new_log(self) -> str:
        """What the server has logged since the last call."""
        with self._log.open("rb") as log:
            log.seek(self._seen)
            text = log.read()
        self._seen += len(text)
        return text.decode("utf-8", "replace")

    def stop(self) -> None:
        """End the server as its operator would, in order."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(PATIENCE)
        finally:
            self.process.kill()
            self.process.wait()
        assert self.process.returncode in (0, -signal.SIGTERM)


def needs(*modules: str) -> None:
    for module in modules:
        if find_spec(module) is None:
            pytest.skip(f"{module} is not installed")


def wait_for(condition: Callable[[], object], what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.01)


def started(parameters: tuple[str, str, str], folder: Path) -> Server:
    name, program, adapter = parameters
    needs(name, *(["flask"] if program == "flask" else []))
    return Server(COMMANDS[name], folder, PROGRAM=program, ADAPTER=adapter)


@pytest.fixture(scope="module", params=PROGRAMS)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that the tests of a module share."""
    server = started(request.param, tmp_path_factory.mktemp("server"))
    try:
        yield server
    finally:
        server.stop()
    assert "Traceback" not in server.new_log()


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
    assert "Traceback" not in server.new_log()


def test_upload_of_50_mib(server: Server) -> None:
    body = BLOCK * 800
    expected = hashlib.sha256(body).hexdigest().encode()
    assert server.ask("POST", "/upload", body) == (200, expected)
    assert "Traceback" not in server.new_log()


def test_chunked_upload(server: Server) -> None:
    body = BLOCK * 80
    chunks = (body[at : at + 1_000_000] for at in range(0, len(body), 1_000_000))
    expected = hashlib.sha256(body).hexdigest().encode()
    assert server.ask("POST", "/upload", chunks, encode_chunked=True) == (200, expected)
    assert "Traceback" not in server.new_log()


def test_download_of_50_mib_to_a_slow_reader_beside_fast_requests(server: Server) -> None:
    with contextlib.closing(server.connect()) as slow:
        slow.request("GET", "/download")
        response = slow.getresponse()
        first = response.read(10)
        for _ in range(20):
            assert server.ask("GET", "/hello") == (200, b"hello")
        rest = response.read()
    assert first + rest == BLOCK * 800
    assert "Traceback" not in server.new_log()


def test_a_client_killed_in_mid_download(server: Server) -> None:
    mark = server.mark.with_name("killed")
    with contextlib.closing(server.connect()) as connection:
        connection.request("GET", "/download?killed")
        assert connection.getresponse().read(1000)
        assert not mark.exists()
    wait_for(mark.exists, "the generator was not closed")
    assert server.ask("GET", "/hello") == (200, b"hello")
    assert "Traceback" not in server.new_log()


def test_200_parallel_requests(server: Server) -> None:
    with ThreadPoolExecutor(200) as executor:
        answers = list(executor.map(lambda _: server.ask("GET", "/hello"), range(200)))
    assert answers == [(200, b"hello")] * 200
    assert "Traceback" not in server.new_log()


@pytest.mark.parametrize("server", RAW_PROGRAMS, indirect=True)
def test_write(server: Server) -> None:
    assert server.ask("GET", "/write") == (200, BLOCK * 10 + b"end")
    assert "Traceback" not in server.new_log()


@pytest.mark.parametrize("parameters", PROGRAMS)
def test_errors_uploads_that_break_off_and_a_graceful_shutdown(
    parameters: tuple[str, str, str], tmp_path: Path
) -> None:
    """What a server of its own has logged at its end: the application's error once, nothing else."""
    server = started(parameters, tmp_path)
    try:
        assert server.ask("GET", "/error")[0] == 500
        for _ in range(5):
            with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as client:
                client.sendall(b"POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nabc")
        assert server.ask("GET", "/hello") == (200, b"hello")
        with contextlib.closing(server.connect()) as connection:
            connection.request("GET", "/ticking")
            response = connection.getresponse()
            assert response.readline() == b"0\n"
            server.process.send_signal(signal.SIGTERM)
            assert response.read() == b"".join(b"%d\n" % number for number in range(1, 10))
    finally:
        server.stop()
    log = server.new_log()
    assert log.count("LookupError: mine") == 1
    # Flask reports its own errors, also that a view got an OSError; the servers have the raw one's to report.
    reports = log.count("Exception in ASGI application") + log.count("Error in ASGI Framework")
    assert reports == (1 if "raw" in parameters else 0)


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


@pytest.fixture(scope="module", params=WSGI_COMMANDS)
def wsgi_server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that the tests of a module share."""
    needs(request.param.split()[0], "starlette")
    server = Server(WSGI_COMMANDS[request.param], tmp_path_factory.mktemp("server"))
    try:
        yield server
    finally:
        server.stop()


@pytest.mark.parametrize("name", WSGI_COMMANDS)
def test_starlette_requests_and_lifespan(name: str, tmp_path: Path) -> None:
    needs(name.split()[0], "starlette")
    server = Server(WSGI_COMMANDS[name], tmp_path)
    try:
        with ThreadPoolExecutor(8) as executor:
            answers = list(executor.map(lambda _: server.ask("GET", "/hello"), range(40)))
        assert answers == [(200, b"42")] * 40
    finally:
        server.stop()
    notes = [line.split() for line in server.mark.read_text(encoding="utf-8").splitlines()]
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
    log = ""

    def is_logged() -> bool:  # a worker may answer before it writes its log
        nonlocal log
        log += wsgi_server.new_log()
        return "LookupError: mine" in log and "returned without sending a response" in log

    wait_for(is_logged, "the log does not tell of the errors")
