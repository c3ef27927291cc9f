"""Run WSGI applications under ASGI servers, and ASGI applications under WSGI servers."""

from __future__ import annotations

from ._asgi_to_wsgi import AsgiToWsgi
from ._errors import ClientDisconnected, RequestBodyError
from ._wsgi_middleware import WSGIMiddleware
from ._wsgi_to_asgi import WsgiToAsgi, WsgiToAsgiInstance

__all__ = [
    "AsgiToWsgi",
    "ClientDisconnected",
    "RequestBodyError",
    "WSGIMiddleware",
    "WsgiToAsgi",
    "WsgiToAsgiInstance",
]

__version__ = "1.0.0"
