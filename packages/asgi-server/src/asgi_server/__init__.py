"""Host ASGI applications without sockets: a stateless server, a test communicator, compatibility, typing."""

from .server import StatelessServer
from .testing import ApplicationCommunicator

__all__ = ("ApplicationCommunicator", "StatelessServer")
__version__ = "1.0.0"
