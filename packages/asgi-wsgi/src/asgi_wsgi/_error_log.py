"""``environ["wsgi.errors"]``: a text stream whose lines become log records."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

log = logging.getLogger("asgi_wsgi")
errors_log = logging.getLogger("asgi_wsgi.errors")


class ErrorLog:
    """Sends each line written to it to the logger ``asgi_wsgi.errors``, with level ERROR.

    Without any logging set up such records appear on stderr (``logging.lastResort``), as they would have
    without this class. Each request has its own, so that the lines of two requests never mix.
    """

    __slots__ = ("_unfinished",)

    def __init__(self) -> None:
        self._unfinished = ""

    def write(self, text: str, /) -> int:
        """Log the lines that ``text`` completes, and keep the rest for later."""
        if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance] -- callers are untyped
            raise TypeError(f"wsgi.errors takes str, not {text!r}")
        *lines, self._unfinished = (self._unfinished + text).split("\n")
        for line in lines:
            errors_log.error("%s", line)
        return len(text)

    def writelines(self, lines: Iterable[str], /) -> None:
        """Write each of the strings."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Log what was written since the last end of a line. The adapter does this when the request ends."""
        if self._unfinished:
            line, self._unfinished = self._unfinished, ""
            errors_log.error("%s", line)
