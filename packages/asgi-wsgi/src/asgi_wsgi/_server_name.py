"""SERVER_NAME and SERVER_PORT, which WSGI demands and ASGI does not promise."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

_HOST = re.compile(r"(\[[0-9A-Za-z:.%]+\]|[^\[\]:/@,\s\x00-\x1f]+)(?::([0-9]{1,5})?)?\Z")


def server_address(server: Sequence[Any] | None, host: str | None, scheme: str) -> tuple[str, str]:
    """Return (SERVER_NAME, SERVER_PORT), neither of them ever empty.

    The address of a TCP server is what it is. Where the server says nothing, or listens on a unix socket, the
    Host header knows better; without one it is the path of the socket and port 0, or localhost.
    """
    default_port = "443" if scheme == "https" else "80"
    name = str(server[0]) if server and server[0] else ""
    port = server[1] if server and len(server) > 1 else None
    if name and port is not None:
        return name, str(port)
    match = _HOST.match(host) if host else None
    if match:
        return match[1], str(port) if port is not None else match[2] or default_port
    if name:
        return name, "0"
    return "localhost", str(port) if port is not None else default_port
