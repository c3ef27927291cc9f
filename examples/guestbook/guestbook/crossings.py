"""What crossed between threads and event loops in the latest requests: for the page that draws them."""

from collections import deque
from dataclasses import dataclass

from asgi_server.typing import ASGI3Application, ASGIReceiveCallable, ASGISendCallable, Scope
from asgi_sync import Recording, record
from guestbook.request import current_id

KEPT = 12
NOT_RECORDED = ("/crossings", "/static/", "/stream", "/trail.json")


@dataclass(frozen=True)
class Recorded:
    """A request, and what crossed in it."""

    id: str
    title: str
    recording: Recording


class Camera:
    """ASGI middleware that records each request. A real site would rather do that only when it is asked to:
    see `asgi_sync.RecordingMiddleware`, which the guestbook has around it, too.
    """

    def __init__(self, application: ASGI3Application) -> None:
        self._application = application
        self._latest: deque[Recorded] = deque(maxlen=KEPT)

    async def __call__(self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        if scope["type"] != "http" or scope["path"].startswith(NOT_RECORDED):
            await self._application(scope, receive, send)
            return
        async with record(only_this_context=True) as recording:
            await self._application(scope, receive, send)
        self._latest.append(Recorded(current_id(), f"{scope['method']} {scope['path']}", recording))

    def latest(self) -> list[Recorded]:
        """The latest requests, newest first."""
        return list(self._latest)[::-1]
