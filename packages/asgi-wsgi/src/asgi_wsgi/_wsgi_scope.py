"""From a WSGI environ to an ASGI HTTP scope."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ._types import HeaderPairs


def scope_of(environ: Mapping[str, Any], state: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the scope of a request; ``state`` is what the lifespan of the application has left."""
    script_name: bytes = environ.get("SCRIPT_NAME", "").encode("latin-1")
    path = script_name + environ.get("PATH_INFO", "").encode("latin-1")
    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": environ.get("SERVER_PROTOCOL", "HTTP/1.1").partition("/")[2] or "1.1",
        "method": environ["REQUEST_METHOD"].upper(),
        "scheme": environ.get("wsgi.url_scheme", "http"),
        # What is not utf-8 cannot be a str that an application could encode again; the bytes are in raw_path.
        "path": path.decode("utf-8", "replace"),
        "raw_path": _raw_path(environ, path),
        "query_string": environ.get("QUERY_STRING", "").encode("latin-1"),
        "root_path": script_name.decode("utf-8", "replace"),
        "headers": _headers(environ),
        "client": _address(environ.get("REMOTE_ADDR"), environ.get("REMOTE_PORT")),
        "server": _address(environ.get("SERVER_NAME"), environ.get("SERVER_PORT")),
        "extensions": {"wsgi.environ": {"environ": environ}},
    }
    if state is not None:
        scope["state"] = dict(state)
    return scope


def _raw_path(environ: Mapping[str, Any], path: bytes) -> bytes:
    # Not part of WSGI, but offered by most servers: gunicorn and waitress, uWSGI and mod_wsgi.
    uri = environ.get("RAW_URI") or environ.get("REQUEST_URI")
    if isinstance(uri, str) and uri.startswith("/"):
        return uri.partition("?")[0].encode("latin-1", "replace")
    return quote(path, safe="/:@!$&'()*+,;=~").encode("ascii")


def _headers(environ: Mapping[str, Any]) -> HeaderPairs:
    headers: HeaderPairs = []
    for key, value in environ.items():
        if key.startswith("HTTP_"):
            # Servers tell them apart from CGI variables of the same name, which come without the prefix.
            if key in ("HTTP_CONTENT_TYPE", "HTTP_CONTENT_LENGTH"):
                continue
            name = key[5:]
        elif key in ("CONTENT_TYPE", "CONTENT_LENGTH") and value:
            name = key
        else:
            continue
        headers.append((name.replace("_", "-").lower().encode("latin-1"), str(value).encode("latin-1")))
    return headers


def _address(host: str | None, port: str | None) -> tuple[str, int] | None:
    if not host:
        return None
    try:
        return host, int(port or 0)
    except ValueError:
        return host, 0
