"""A thread-local that follows tasks: the name of `asgi_local`."""

from asgi_local import Local, lowlevel

__all__ = ["Local"]

# The classes that Local() chooses from. asgiref names them so, and its own tests import them.
_DefaultLocal = lowlevel.DefaultLocal
_ThreadCriticalLocal = lowlevel.ThreadCriticalLocal
