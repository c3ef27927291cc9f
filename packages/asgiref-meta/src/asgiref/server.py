"""Servers for protocols without connections: the names of `asgi_server.server`."""

import logging

from asgi_server.compatibility import guarantee_single_callable
from asgi_server.server import StatelessServer

# asgiref does not offer these two on purpose, but programs import them from here (and log with logger).
logger: logging.Logger = logging.getLogger(__name__)

__all__ = ["StatelessServer", "guarantee_single_callable", "logger"]
