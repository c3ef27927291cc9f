"""Serve the guestbook, or check it."""

import argparse
import asyncio
import socket
import sys

import uvicorn

from guestbook.check import check
from guestbook.request import configure_logging
from guestbook.site import Site


class Server(uvicorn.Server):
    """uvicorn lets connections end before it tells an application to shut down: streams have to be told."""

    def __init__(self, site: Site) -> None:
        super().__init__(uvicorn.Config(site.application, lifespan="on", log_config=None))
        self._site = site

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._site.close_streams()
        await super().shutdown(sockets)


def serve(host: str, port: int, database: str) -> None:
    try:
        listener = socket.create_server((host, port))
    except OSError as error:
        sys.exit(f"{host}:{port} cannot be listened on ({error.strerror}): `--port 0` takes a free one")
    server = Server(Site(database, configure_logging()))
    print(
        f"The guestbook is open at http://{host}:{listener.getsockname()[1]} (Ctrl-C closes it)", flush=True
    )
    try:
        asyncio.run(server.serve(sockets=[listener]))
    except KeyboardInterrupt:
        print("The guestbook is closed.")


def main() -> None:
    parser = argparse.ArgumentParser(prog="guestbook", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8000, help="0 takes a free one (default: %(default)s)")
    parser.add_argument("--database", default="guestbook.sqlite3", help="file to keep the entries in")
    parser.add_argument(
        "--check", action="store_true", help="drive a guestbook over HTTP, tell what ran where"
    )
    options = parser.parse_args()
    if options.check:
        sys.exit(0 if check() else 1)
    serve(options.host, options.port, options.database)


if __name__ == "__main__":
    main()
