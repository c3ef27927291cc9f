"""A thread-local that follows tasks: the name of `asgi_local`."""

from asgi_local import Local

__all__ = ["Local"]
