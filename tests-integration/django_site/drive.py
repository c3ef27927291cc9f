"""Serve the site, use it over HTTP and websockets, and print what it answered, as a line of JSON.

    python drive.py uvicorn|daphne            that
    python drive.py uvicorn|daphne rounds     and then a line for each line PAGE REQUESTS that comes: how fast it was

For rounds the server runs on one core, and the client, which is in this process, on another, where there are two.
"""

import asyncio
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import httpx
from websockets.asyncio.client import connect

HERE = Path(__file__).resolve().parent
PAGES = (
    "sync",
    "async",
    "class",
    "transactions",
    "signals",
    "context",
    "sync-calls-async",
    "stream",
    "error",
    "nowhere",
)
USERS = 8


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def server_command(name, port):
    if name == "uvicorn":
        options = ["--host", "127.0.0.1", "--port", str(port), "--log-level", "critical", "--lifespan", "off"]
        return [sys.executable, "-m", "uvicorn", *options, "asgi:application"]
    # Its websockets have 5 seconds to be accepted, unless it is told otherwise: not enough on a busy machine.
    options = ["-b", "127.0.0.1", "-p", str(port), "-v", "0", "--websocket_connect_timeout", "60"]
    return [sys.executable, "-m", "daphne", *options, "asgi:application"]


def wait_until_served(url, process):
    deadline = time.monotonic() + 150
    with httpx.Client(verify=False) as client:  # reading certificates takes longer than the server's start
        while time.monotonic() < deadline:
            if process.poll() is not None:
                sys.exit(f"the server ended with status {process.returncode}")
            with suppress(httpx.TransportError):
                if client.get(f"{url}/health").text == "ok":
                    return
            time.sleep(0.05)  # there is no event to wait for: the server is another process
    sys.exit("the server did not answer within 150 s")


def stop(process):
    process.terminate()
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        # daphne does not always hear it, whichever asgiref it has. What is compared has been answered by now.
        print("the server does not end 30 s after SIGTERM: it is killed", file=sys.stderr)
        process.kill()
        process.wait(30)


def prepare_database():
    import django

    django.setup()
    from django.core.management import call_command
    from notes.models import Note

    call_command("migrate", run_syncdb=True, verbosity=0)
    Note.objects.bulk_create(Note(text="kept") for _ in range(5))


async def http_answers(client):
    answers = {}
    for page in PAGES:
        response = await client.get(f"/{page}")
        body = response.json() if "json" in response.headers["content-type"] else response.text
        answers[page] = [response.status_code, response.headers.get("x-trace"), body]
    return answers


async def websocket_answers(url):
    async with connect(f"{url}/ws/room/one") as first, connect(f"{url}/ws/room/one") as second:
        await first.send(json.dumps({"text": "hello"}))
        room = [json.loads(await asyncio.wait_for(w.recv(), 30)) for w in (first, second)]
    async with connect(f"{url}/ws/echo") as echo:
        await echo.send(json.dumps({"a": 1}))
        echoed = json.loads(await asyncio.wait_for(echo.recv(), 30))
    return {"room": room, "echo": echoed}


async def speed(url, page, requests):
    """Let some users ask for a page; return the seconds for one, and the server's processor seconds for it."""

    async def user(client):
        for _ in turns:
            response = await client.get(page)
            assert response.status_code == 200, response.text

    async def processor_seconds(client):
        return (await client.get("/stats")).json()["processor seconds"]

    turns = iter(range(requests))
    async with httpx.AsyncClient(base_url=url, timeout=60, verify=False) as client:
        await asyncio.gather(*(client.get("/health") for _ in range(USERS)))  # the connections
        processor = await processor_seconds(client)
        started = time.perf_counter()
        await asyncio.gather(*(user(client) for _ in range(USERS)))
        seconds = time.perf_counter() - started
        processor = await processor_seconds(client) - processor
        threads = (await client.get("/stats")).json()["threads"]
    return {"seconds": seconds / requests, "processor seconds": processor / requests, "threads": threads}


async def speed_of_messages(url, messages):
    async with connect(f"{url}/ws/room/two") as socket:
        started = time.perf_counter()
        for _ in range(messages):
            await socket.send(json.dumps({"text": "again"}))
            await asyncio.wait_for(socket.recv(), 60)
        return {"seconds": (time.perf_counter() - started) / messages}


async def use(url):
    async with httpx.AsyncClient(base_url=f"http://{url}", timeout=60, verify=False) as client:
        await client.get("/stats?count=on")
        before = (await client.get("/stats")).json()["crossings"]
        answers = {"http": await http_answers(client)}
        # Before the websockets: what they do at their end may come now or a little later.
        after = (await client.get("/stats?count=off")).json()["crossings"]
        answers["websocket"] = await websocket_answers(f"ws://{url}")
    return {"answers": answers, "crossings": {name: after[name] - before[name] for name in after}}


def rounds(url):
    for line in sys.stdin:
        page, number = line.split()
        if page == "messages":
            found = asyncio.run(speed_of_messages(f"ws://{url}", int(number)))
        else:
            found = asyncio.run(speed(f"http://{url}", page, int(number)))
        print(json.dumps(found), flush=True)


def start(server, port, core):
    """Start the server; on one core, if that is wanted."""
    cores = os.sched_getaffinity(0) if core else set()
    if core:
        os.sched_setaffinity(0, {max(cores)})  # is inherited
    process = subprocess.Popen(server_command(server, port), cwd=HERE, stdout=sys.stderr)
    if len(cores) > 1:
        os.sched_setaffinity(0, cores - {max(cores)})
    return process


def main():
    server, measure = sys.argv[1], sys.argv[2:] == ["rounds"]
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        os.environ |= {"SITE_DATABASE": f"{folder}/site.sqlite3", "DJANGO_SETTINGS_MODULE": "settings"}
        os.chdir(HERE)
        prepare_database()
        port = free_port()
        process = start(server, port, core=measure and hasattr(os, "sched_setaffinity"))
        stack.callback(stop, process)
        wait_until_served(f"http://127.0.0.1:{port}", process)
        print(json.dumps(asyncio.run(use(f"127.0.0.1:{port}"))), flush=True)
        if measure:
            rounds(f"127.0.0.1:{port}")


if __name__ == "__main__":
    main()
