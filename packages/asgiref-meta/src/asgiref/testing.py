"""Talk to an ASGI application in a test: the name of `asgi_server.testing`."""

from asgi_server.compatibility import guarantee_single_callable
from asgi_server.testing import ApplicationCommunicator

# asgiref does not offer the second on purpose, but it can be imported from here.
__all__ = ["ApplicationCommunicator", "guarantee_single_callable"]
