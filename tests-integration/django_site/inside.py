"""The site without a server and a client: for each line PAGE REQUESTS, what a request costs, as a line of JSON.

That is processor time, on one core: much less disturbed by what else the machine does than requests per second.
"""

import asyncio
import json
import os
import sys
import tempfile
import threading
import time
from pathlib import Path

USERS = 8


async def request(application, page):
    scope = {
        "type": "http",
        "method": "GET",
        "path": page,
        "query_string": b"",
        "headers": [(b"host", b"127.0.0.1")],
        "http_version": "1.1",
        "asgi": {"version": "3.0"},
    }
    received = iter([{"type": "http.request", "body": b"", "more_body": False}])
    sent = []

    async def receive():
        for message in received:
            return message
        return await asyncio.Future()  # the client stays; Django cancels this when it has answered

    async def send(message):
        sent.append(message)

    await application(scope, receive, send)
    assert sent[0]["status"] == 200, sent


async def measure(application, page, requests):
    turns = iter(range(requests))

    async def user():
        for _ in turns:
            await request(application, page)

    started = time.process_time()
    await asyncio.gather(*(user() for _ in range(USERS)))
    return {
        "processor seconds": (time.process_time() - started) / requests,
        "threads": threading.active_count(),
    }


async def serve_lines(application):
    for line in sys.stdin:  # nothing else is to run meanwhile
        page, requests = line.split()
        print(json.dumps(await measure(application, page, int(requests))), flush=True)


def main():
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"SITE_DATABASE": f"{folder}/site.sqlite3", "DJANGO_SETTINGS_MODULE": "settings"}
        sys.path.insert(0, str(Path(__file__).parent))
        from drive import prepare_database

        prepare_database()
        from django.core.asgi import get_asgi_application

        asyncio.run(serve_lines(get_asgi_application()))


if __name__ == "__main__":
    main()
