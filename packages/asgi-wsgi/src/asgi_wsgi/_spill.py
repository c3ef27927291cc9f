"""Where ``write()`` puts what the window has no room for, on a thread that must not wait."""

from __future__ import annotations

from collections import deque
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._outbox import Item


class Spill:
    """A queue of items whose bytes are in a temporary file. Its owner's lock guards it."""

    __slots__ = ("_entries", "_file", "_read_at", "_write_at")

    def __init__(self) -> None:
        self._entries: deque[tuple[Item | int, int]] = deque()
        self._file: Any = TemporaryFile()  # noqa: SIM115 -- closed when it is empty, or when the request ends
        self._read_at = 0
        self._write_at = 0

    def __len__(self) -> int:
        return len(self._entries)

    def put(self, item: Item, size: int) -> None:
        """Add an item that takes ``size`` bytes of the window."""
        if isinstance(item, bytes):
            self._file.seek(self._write_at)
            self._file.write(item)
            self._write_at += len(item)
            self._entries.append((len(item), size))
        else:
            self._entries.append((item, size))

    def take(self, room: int) -> list[tuple[Item, int]]:
        """Return the next items, at least one of them, but no more than fill ``room`` bytes of the window."""
        items: list[tuple[Item, int]] = []
        while self._entries and room > 0:
            entry, size = self._entries.popleft()
            if isinstance(entry, int):
                self._file.seek(self._read_at)
                data: bytes = self._file.read(entry)
                self._read_at += entry
                items.append((data, size))
            else:
                items.append((entry, size))
            room -= size
        return items

    def close(self) -> None:
        """Forget all of it."""
        self._entries.clear()
        self._file.close()
