"""Host an ASGI application for a protocol without connections: one application instance for each scope."""

from ._errors import InstanceClosedError, LifespanError, ScopeBlockedError, ServerClosedError
from ._inbox import Inbox, Outcome
from ._observer import Observer
from ._options import Backoff
from ._stateless_server import StatelessServer

__all__ = (
    "Backoff",
    "Inbox",
    "InstanceClosedError",
    "LifespanError",
    "Observer",
    "Outcome",
    "ScopeBlockedError",
    "ServerClosedError",
    "StatelessServer",
)
