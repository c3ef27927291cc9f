"""Play the server for an ASGI application in a test."""

from ._communicator import ApplicationCommunicator, ApplicationEndedError

__all__ = ("ApplicationCommunicator", "ApplicationEndedError")
