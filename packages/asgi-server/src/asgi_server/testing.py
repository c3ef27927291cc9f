"""Play the server for an ASGI application in a test."""

from ._communicator import ApplicationCommunicator, ApplicationEndedError
from ._http_conversation import HTTPConversation, Response, UnexpectedMessageError
from ._lifespan_conversation import LifespanConversation
from ._websocket_conversation import WebSocketConversation, WebSocketRefusedError

__all__ = (
    "ApplicationCommunicator",
    "ApplicationEndedError",
    "HTTPConversation",
    "LifespanConversation",
    "Response",
    "UnexpectedMessageError",
    "WebSocketConversation",
    "WebSocketRefusedError",
)
