"""Host ASGI applications without sockets: a stateless server, a test communicator, compatibility and typing."""

__version__ = "1.0.0"
