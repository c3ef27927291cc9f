"""ASGI 2 applications under ASGI 3 servers: the names of `asgi_server.compatibility`."""

from asgi_server.compatibility import double_to_single_callable, guarantee_single_callable, is_double_callable
from asgi_sync import iscoroutinefunction

__all__ = [
    "double_to_single_callable",
    "guarantee_single_callable",
    "is_double_callable",
    "iscoroutinefunction",
]
