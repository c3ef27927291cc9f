"""Where a response goes: into an outbox, or straight to ``send``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from ._errors import ClientDisconnected

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._outbox import Item


class Sink(Protocol):
    """What a response and the run of its application need of the place where it goes."""

    @property
    def aborted(self) -> bool: ...
    @property
    def window(self) -> int: ...
    def put(self, item: Item, size: int = 0, *, written: bool = False) -> None: ...
    def put_all(self, items: list[tuple[Item, int]]) -> None: ...
    def announce(self, *, ending: bool = False) -> None: ...
    def check(self) -> None: ...
    def is_full(self) -> bool: ...
    def is_drained(self) -> bool: ...
    def pause(self) -> bool: ...
    def go_on(self) -> None: ...


class DirectSink:
    """Sends each item with a blocking call before the application goes on, as asgiref does."""

    window = 0

    def __init__(self, sync_send: Callable[[Any], object]) -> None:
        self._sync_send = sync_send
        self.aborted = False

    # No argument of it but the item matters: nothing is ever queued.
    def put(self, item: Item, size: int = 0, *, written: bool = False) -> None:
        self.check()
        if item is None:
            self._sync_send({"type": "http.response.body"})
        elif isinstance(item, bytes):
            self._sync_send({"type": "http.response.body", "body": item, "more_body": True})
        else:
            self._sync_send(item)

    def put_all(self, items: list[tuple[Item, int]]) -> None:
        for item, _ in items:
            self.put(item)

    def announce(self, *, ending: bool = False) -> None:
        pass

    def check(self) -> None:
        if self.aborted:
            raise ClientDisconnected("the client disconnected before the response was complete")

    def is_full(self) -> bool:
        return False

    def is_drained(self) -> bool:
        return True

    def pause(self) -> bool:
        return True

    def go_on(self) -> None:
        pass
