"""One worker of the fleet: ``python worker.py redis://127.0.0.1:6379/0``. Run as many as you like."""

import json
import logging
import sys

from asgi_server.redis_streams import Layout, RedisStreamsServer

LAYOUT = Layout("fleet", partitions=16)


async def application(scope, receive, send):
    """Answers every message of a user with its number, and how many this instance has seen."""
    seen = 0
    while True:
        message = await receive()
        seen += 1
        await send({"type": "fleet.answer", "user": scope["user"], "number": message["number"], "seen": seen})


def main(url: str) -> None:
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(name)s: %(message)s")
    server = RedisStreamsServer(
        application, url, layout=LAYOUT, lease=8.0, prefetch=200, max_applications=1000
    )
    server.run()  # until SIGTERM or SIGINT
    print(json.dumps({"name": server.name, "claimed": server.claimed}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
