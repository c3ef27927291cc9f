"""``environ["wsgi.errors"]``: a text stream whose lines become log records."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

log = logging.getLogger("asgi_wsgi")
errors_log = logging.getLogger("asgi_wsgi.errors")

# These two releases drop whatever is logged while the same thread handles another record (cpython gh-91555,
# reverted in gh-135858). Flask's default handler writes to wsgi.errors, so its reports would vanish.
_DROPS_NESTED_RECORDS = sys.version_info[:3] in {(3, 13, 4), (3, 13, 5)}


class ErrorLog:
    """Sends each line written to it to the logger ``asgi_wsgi.errors``, with level ERROR.

    Without any logging set up such records appear on stderr (``logging.lastResort``), as they would have
    without this class. Each request has its own, so that the lines of two requests never mix.
    """

    _delayed: list[str] | None = None
    _unfinished = ""

    def write(self, text: str, /) -> int:
        """Log the lines that ``text`` completes, and keep the rest for later."""
        if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance] -- callers are untyped
            raise TypeError(f"wsgi.errors takes str, not {text!r}")
        *lines, self._unfinished = (self._unfinished + text).split("\n")
        self._log(lines)
        return len(text)

    def writelines(self, lines: Iterable[str], /) -> None:
        """Write each of the strings."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Log what was written since the last end of a line. The adapter does this when the request ends."""
        line, self._unfinished = self._unfinished, ""
        if line or self._delayed:
            self._log([line] if line else [])

    def _log(self, lines: list[str]) -> None:
        if _DROPS_NESTED_RECORDS:
            if self._delayed is None:
                self._delayed = lines
            else:
                self._delayed.extend(lines)
            if not errors_log.isEnabledFor(logging.ERROR):
                return  # until the end of the request, when no record is being handled
            lines, self._delayed = self._delayed, None
        for line in lines:
            errors_log.error("%s", line)
