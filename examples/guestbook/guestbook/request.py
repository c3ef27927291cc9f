"""The id of the request that is being handled, wherever it is asked for: a view, a task, a log line."""

import asyncio
import itertools
import logging
from collections import deque
from dataclasses import asdict, dataclass
from typing import cast

from asgi_local import Local
from asgi_server.typing import (
    ASGI3Application,
    ASGIReceiveCallable,
    ASGISendCallable,
    ASGISendEvent,
    Scope,
)

# Like a threading.local, but each task has its own, too; and it follows a call from a task to a thread.
current = Local()

NO_REQUEST = "-"


def current_id() -> str:
    return cast("str", getattr(current, "id", NO_REQUEST))


class RequestIds:
    """ASGI middleware: gives each request an id, and tells the client in a header."""

    def __init__(self, application: ASGI3Application) -> None:
        self._application = application
        self._numbers = itertools.count(1)

    async def __call__(self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        current.id = request_id = f"r{next(self._numbers):04}"

        async def send_with_id(event: ASGISendEvent) -> None:
            if event["type"] == "http.response.start":
                headers = [*event.get("headers", ()), (b"x-request-id", request_id.encode())]
                event = {**event, "headers": headers}
            await send(event)

        await self._application(scope, receive, send_with_id)


@dataclass(frozen=True)
class Step:
    """A log line, and where it was written."""

    request: str
    what: str
    thread: str
    loop: int | None
    """Tells event loops apart; None where the thread runs none."""


class Trail(logging.Handler):
    """Keeps the newest log lines of the guestbook's own modules, for the page and for `check`."""

    def __init__(self, length: int = 10_000) -> None:
        super().__init__()
        self._steps: deque[Step] = deque(maxlen=length)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            loop = id(asyncio.get_running_loop())
        except RuntimeError:
            loop = None
        what = f"{record.name.rpartition('.')[2]}: {record.msg}"
        self._steps.append(Step(current_id(), what, record.threadName or "", loop))

    def steps(self) -> list[dict[str, object]]:
        return [asdict(step) for step in list(self._steps)]


def add_request_id(record: logging.LogRecord) -> bool:
    """A logging filter that lets all through, and lets the format say %(request)s."""
    record.request = current_id()
    return True


def configure_logging() -> Trail:
    screen = logging.StreamHandler()
    screen.addFilter(add_request_id)
    screen.setFormatter(
        logging.Formatter("%(asctime)s %(request)-12s %(threadName)-24s %(name)s: %(message)s", "%H:%M:%S")
    )
    logging.basicConfig(level=logging.INFO, handlers=[screen])
    trail = Trail()
    logging.getLogger("guestbook").addHandler(trail)
    return trail
