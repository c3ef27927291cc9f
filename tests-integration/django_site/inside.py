"""Measure the site without a server and a client: the processor time of a request, in microseconds, as JSON.

Much less disturbed by what else the machine does than requests per second are.
"""

import asyncio
import json
import os
import sys
import tempfile
import time
from pathlib import Path

PAGES = ("/health", "/sync-calls-async")
REQUESTS, ROUNDS, USERS = 80, 6, 8


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


async def measure(application, page):
    best = float("inf")
    for _ in range(ROUNDS + 1):  # the first warms up, and can hardly be the best
        turns = iter(range(REQUESTS))

        async def user(turns=turns):
            for _ in turns:
                await request(application, page)

        started = time.process_time()
        await asyncio.gather(*(user() for _ in range(USERS)))
        best = min(best, (time.process_time() - started) / REQUESTS)
    return round(best * 1e6)


def main():
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"SITE_DATABASE": f"{folder}/site.sqlite3", "DJANGO_SETTINGS_MODULE": "settings"}
        sys.path.insert(0, str(Path(__file__).parent))
        from django.core.asgi import get_asgi_application

        application = get_asgi_application()

        async def all_pages():
            return {page: await measure(application, page) for page in PAGES}

        print(json.dumps(asyncio.run(all_pages())))


if __name__ == "__main__":
    main()
