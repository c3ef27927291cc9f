"""WSGI applications under uvicorn, over real HTTP: through each adapter, driven by wrk.

Each adapter has a server process of its own; all servers share one core, of which one works at a time, and
wrk has another, where there is one. A figure is the time from one answer to the next, so a fifth of it is a
fifth more requests in a second. Answers with an error do not count; a peer that gives some is named beside
the table. uvicorn's own adapter, marked with a star, has no backpressure: it keeps in
memory what the application yields, however slow the client is.

Only this machine's loopback is used, for about a second in each round.
"""

from __future__ import annotations

import contextlib
import http.client
import logging
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import wsgi
from harness import Bench, load_peer
from harness._measure import Comparison
from harness._peers import PEERS, Peer, install_peer

from asgi_wsgi import WSGIMiddleware, WsgiToAsgi

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

# As uvicorn is deployed: with its parser of choice, and asyncio's own loop.
PEERS["uvicorn"] = Peer(("uvicorn==0.*", "httptools==0.*"), ("uvicorn", "uvicorn.middleware.wsgi"))

SECONDS = 1  # of each run of wrk, which does not know fractions
PATIENCE = 60
# Connections. Answers that are under way when the time is up do not count, so large ones have fewer at a time.
CONCURRENT = {"hello world": (1, 32), "1 MB down": (8,), "1 MB up": (8,)}

MAKERS: dict[str, Callable[[], Callable[[Any], Any]]] = {
    "WSGIMiddleware": lambda: WSGIMiddleware,
    "WsgiToAsgi": lambda: WsgiToAsgi,
    "asgiref": lambda: load_peer("asgiref").wsgi.WsgiToAsgi,
    "a2wsgi": lambda: lambda app: load_peer("a2wsgi").WSGIMiddleware(app, workers=40),
    "uvicorn*": lambda: lambda app: load_peer("uvicorn").middleware.wsgi._WSGIMiddleware(app, workers=40),
}
APPLICATIONS = {f"/{number}": case[1] for number, case in enumerate(wsgi.CASES)}


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    return APPLICATIONS[environ["PATH_INFO"]](environ, start_response)


def serve(name: str, descriptor: int) -> None:
    """Serve with one adapter, until the process is ended."""
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # some adapters go on sending to who has left
    made = MAKERS[name]()(application)
    sys.path.insert(0, str(install_peer("uvicorn")))
    import uvicorn  # type: ignore[import-not-found,unused-ignore] -- installed by the line above

    # Not with fd=, which would make asyncio take the connections for something else than TCP, and leave
    # Nagle's algorithm on: each answer would wait 40 ms for the client's delayed acknowledgement.
    listening = socket.socket(fileno=descriptor)
    config = uvicorn.Config(
        made, http="httptools", loop="asyncio", lifespan="off", log_level="critical", ws="none"
    )
    uvicorn.Server(config).run(sockets=[listening])


def cores() -> tuple[set[int], set[int]]:
    """Return the cores for the servers and for wrk; no cores where they cannot be chosen."""
    available = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    return (set(available[:1]), set(available[1:])) if len(available) > 1 else (set(), set())


def on_cores(chosen: set[int]) -> Callable[[], None] | None:
    return (lambda: os.sched_setaffinity(0, chosen)) if chosen else None


@contextlib.contextmanager
def server(name: str) -> Iterator[int]:
    """Run a server for the time of a with block; yields its port."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as listening:
        port: int = listening.getsockname()[1]
        process = subprocess.Popen(
            [sys.executable, __file__, name, str(listening.fileno())],
            pass_fds=[listening.fileno()],
            preexec_fn=on_cores(cores()[0]),
        )
    try:
        yield port
    finally:
        process.kill()
        process.wait()


def check(port: int, path: str, blocks: int, expected: int, *, patient: bool = False) -> None:
    """Make one request and look at what comes: wrk counts answers, whatever is in them."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    with contextlib.closing(connection):
        connection.request("POST" if blocks else "GET", path, wsgi.BLOCK * blocks or None)
        response = connection.getresponse()
        length = len(response.read())
    good = (response.status, length) == (200, expected)
    assert good or patient, f"{path}: {response.status}, {length} bytes"


def drive(port: int, path: str, concurrency: int, script: Path | None) -> tuple[float, int]:
    """Let wrk make requests for a while; return the seconds for each good answer, and how many were bad."""
    seconds = SECONDS
    while True:
        command = ["wrk", "-t1", f"-c{concurrency}", f"-d{seconds}s", f"--timeout={PATIENCE}s"]
        if script is not None:
            command += ["-s", str(script)]
        done = subprocess.run(
            [*command, f"http://127.0.0.1:{port}{path}"],
            stdout=subprocess.PIPE,
            check=True,
            text=True,
            timeout=PATIENCE,
            preexec_fn=on_cores(cores()[1]),
        )
        rate, count, bad = (
            float(found[1]) if (found := re.search(pattern, done.stdout, re.MULTILINE)) else 0.0
            for pattern in (
                r"^Requests/sec: +([0-9.]+)$",
                r"^ +([0-9]+) requests in ",
                r"^ +Non-2xx or 3xx responses: ([0-9]+)$",
            )
        )
        if "Socket errors" in done.stdout or seconds > 16:
            raise RuntimeError(f"wrk could not measure {path}:\n{done.stdout}")
        if count > bad:
            return count / (count - bad) / rate, int(bad)
        seconds *= 4  # a machine so slow that no answer was complete


def run(bench: Bench) -> None:
    if shutil.which("wrk") is None:
        print("skipped: wrk is not installed (Debian has it as a package of that name)", file=sys.stderr)
        return
    install_peer("uvicorn")
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        script = folder / "upload.lua"
        script.write_text('wrk.method = "POST"\nwrk.body = string.rep("x", 16 * 65536)\n', encoding="utf-8")
        ports = {name: stack.enter_context(server(name)) for name in MAKERS}
        for number, (title, _, blocks, expected) in enumerate(wsgi.CASES):
            for concurrency in CONCURRENT.get(title, (32,)):
                measure(
                    bench, f"{title}, {concurrency} connection{'s' if concurrency > 1 else ''}", ports,
                    f"/{number}", concurrency, blocks, expected, script if blocks else None,
                )  # fmt: skip


def measure(
    bench: Bench, title: str, ports: dict[str, int], path: str, concurrency: int, blocks: int,
    expected: int, script: Path | None,
) -> None:  # fmt: skip
    """Compare all servers in interleaved rounds."""
    if bench.only not in title:
        return
    seconds: dict[str, list[float]] = {name: [] for name in ports}
    names = list(ports)
    for name in names:
        check(ports[name], path, blocks, expected)
    failed = dict.fromkeys(names, 0)
    for turn in range(bench.rounds):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            took, bad = drive(ports[name], path, concurrency, script)
            check(ports[name], path, blocks, expected, patient=True)  # what wrk left behind is over
            seconds[name].append(took)
            failed[name] += bad
    for name, count in failed.items():
        if count:
            print(f"{title}: {name} answered {count} requests with an error", file=sys.stderr)
    bench.comparisons.append(Comparison(title, bool(cores()[0]), seconds, names[0]))


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]))
