"""The events of the lifespan protocol."""

# No "from __future__ import annotations" here: a TypedDict finds NotRequired only in evaluated annotations.

from typing import Literal, NotRequired, TypedDict


class LifespanStartupEvent(TypedDict):
    """Received before the server serves anything."""

    type: Literal["lifespan.startup"]


class LifespanShutdownEvent(TypedDict):
    """Received after the server has served everything."""

    type: Literal["lifespan.shutdown"]


class LifespanStartupCompleteEvent(TypedDict):
    """Sent: the application is ready."""

    type: Literal["lifespan.startup.complete"]


class LifespanStartupFailedEvent(TypedDict):
    """Sent: the application cannot start."""

    type: Literal["lifespan.startup.failed"]
    message: NotRequired[str]


class LifespanShutdownCompleteEvent(TypedDict):
    """Sent: the application has cleaned up."""

    type: Literal["lifespan.shutdown.complete"]


class LifespanShutdownFailedEvent(TypedDict):
    """Sent: the application could not clean up."""

    type: Literal["lifespan.shutdown.failed"]
    message: NotRequired[str]
