"""One worker of the fleet: ``python worker.py redis://127.0.0.1:6379/0``. Run as many as you like."""

import argparse
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url", help="of the Redis")
    parser.add_argument("--name", help="of this worker, which no other may have; default: one is made up")
    parser.add_argument("--lease", type=float, default=8.0, help="seconds; default: %(default)s")
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(name)s: %(message)s")
    server = RedisStreamsServer(
        application,
        options.url,
        layout=LAYOUT,
        name=options.name,
        lease=options.lease,
        prefetch=200,
        max_applications=1000,
    )
    server.run()  # until SIGTERM or SIGINT
    print(json.dumps({"name": server.name, "claimed": server.claimed}), flush=True)


if __name__ == "__main__":
    main()
