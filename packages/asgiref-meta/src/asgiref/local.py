"""A thread-local that follows tasks: the name of `asgi_local`."""

from asgi_local import Local

__all__ = ["Local"]

# asgiref names the classes that Local() chooses from, and its own tests import them.
_DefaultLocal = type(Local())
_ThreadCriticalLocal = type(Local(thread_critical=True))
