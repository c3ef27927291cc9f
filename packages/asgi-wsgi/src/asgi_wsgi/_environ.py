"""From an ASGI HTTP scope to a WSGI environ (PEP 3333, "environ Variables")."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote_to_bytes

from ._error_log import ErrorLog
from ._request_headers import add_headers
from ._server_name import server_address
from ._tls import add_tls

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ._types import Scope

_UNQUOTED = "/:@!$&'()*+,;=~"
_ALWAYS = {
    "wsgi.version": (1, 0),
    # The body ends where the client ended it, also without a Content-Length (werkzeug, gunicorn and mod_wsgi
    # agree on this key).
    "wsgi.input_terminated": True,
    "wsgi.multithread": True,
    "wsgi.multiprocess": True,
    "wsgi.run_once": False,
}


def build_environ(
    scope: Scope, body: Any, *, duplicate_header_limit: int | None, keep_underscore_headers: bool
) -> dict[str, Any]:
    """Return the environ of a request.

    Raises:
        RequestRefused: too many headers of one name, or Content-Length headers that contradict each other.
    """
    scheme = scope.get("scheme") or "http"
    path = _path(scope)
    script_name, path_info = _split_path(path, scope.get("root_path") or "")
    query = (scope.get("query_string") or b"").decode("latin-1")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": script_name,
        "PATH_INFO": path_info,
        "QUERY_STRING": query,
        "SERVER_PROTOCOL": "HTTP/" + (scope.get("http_version") or "1.1"),
        "REQUEST_URI": _request_uri(scope, path, query),
        "wsgi.url_scheme": scheme,
        "wsgi.input": body,
        "wsgi.errors": ErrorLog(),
        "asgi.scope": _copied(scope),
        **_ALWAYS,
    }
    if scheme == "https":
        environ["HTTPS"] = "on"
    client = scope.get("client")
    if client is not None:
        environ["REMOTE_ADDR"] = client[0]
        if client[1] is not None:
            environ["REMOTE_PORT"] = str(client[1])
    add_headers(environ, scope.get("headers") or (), duplicate_header_limit, keep_underscore_headers)
    environ["SERVER_NAME"], environ["SERVER_PORT"] = server_address(
        scope.get("server"), environ.get("HTTP_HOST"), scheme
    )
    state = scope.get("state")
    if state is not None:
        environ["asgi.state"] = state.copy()
    extensions = scope.get("extensions")
    if extensions and "tls" in extensions:
        add_tls(environ, extensions["tls"])
    return environ


def _path(scope: Scope) -> str:
    """Return the path as WSGI wants it: bytes that look like latin-1 text."""
    path: str = scope["path"]
    return path if path.isascii() else _path_bytes(scope, path).decode("latin-1")


def _path_bytes(scope: Scope, path: str) -> bytes:
    if "\ufffd" in path:
        # The server could not decode the path as utf-8. The bytes that the client sent are in raw_path,
        # unless something between has rewritten the path and left raw_path as it was.
        raw: bytes | None = scope.get("raw_path")
        if raw:
            sent = unquote_to_bytes(raw.partition(b"?")[0])
            if sent.decode("utf-8", "replace") == path:
                return sent
    return _utf8(path)


def _utf8(text: str) -> bytes:
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # a surrogate that stands for no byte
        return text.encode("utf-8", "surrogatepass")


def _split_path(path: str, root_path: str) -> tuple[str, str]:
    """Return SCRIPT_NAME and PATH_INFO."""
    root = root_path.rstrip("/")
    if not root:
        return "", path
    script_name = _utf8(root).decode("latin-1")
    if not script_name.startswith("/"):
        script_name = "/" + script_name
    if path.startswith(script_name):
        rest = path[len(script_name) :]
        # "/base" is no parent of "/baseball".
        if not rest or rest[0] == "/":
            return script_name, rest
    return script_name, path


def _request_uri(scope: Scope, path: str, query: str) -> str:
    raw: bytes | None = scope.get("raw_path")
    uri = raw.partition(b"?")[0].decode("latin-1") if raw else quote(path.encode("latin-1"), safe=_UNQUOTED)
    return uri + "?" + query if query else uri


def _copied(scope: Scope) -> dict[str, Any]:
    """Return a copy whose own lists and dictionaries are copies too: what the application does stays with
    it.
    """
    copy: dict[str, Any] = dict(scope)
    for key, value in copy.items():
        if key == "headers":
            pairs: Iterable[Iterable[bytes]] = value or ()
            copy[key] = list(map(tuple, pairs))
        elif type(value) is dict or type(value) is list:
            copy[key] = value.copy()
    return copy
