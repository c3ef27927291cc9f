"""Servers for protocols without connections: the names of `asgi_server.server`."""

from asgi_server.compatibility import guarantee_single_callable
from asgi_server.server import StatelessServer, logger

# asgiref does not offer the last two on purpose, but programs import them from here.
__all__ = ["StatelessServer", "guarantee_single_callable", "logger"]
