"""``wsgi.input`` on top of a source of blocks: every way of reading that io.BufferedIOBase has."""

from __future__ import annotations

import io
from typing import Any, Self


@io.BufferedIOBase.register
class BlockReader:
    """Reads from blocks of bytes that ``_next_block`` gives one by one, b"" at the end and for ever after.

    A block is kept until it is used up, and never put together with the next one unless the caller asked for
    both, so that any sequence of reads costs time in proportion to the bytes read.
    """

    # Not derived from io.BufferedIOBase, whose finalizer costs each request as much as the rest of its body.

    closed = False
    _block: bytes = b""
    _at: int = 0

    def _next_block(self) -> bytes:
        """Return the next bytes of the body, b"" after the last of them. Blocks, and raises OSError."""
        raise NotImplementedError

    def readable(self) -> bool:
        """Return True."""
        return True

    def writable(self) -> bool:
        """Return False."""
        return False

    def seekable(self) -> bool:
        """Return False."""
        return False

    def isatty(self) -> bool:
        """Return False."""
        return False

    def flush(self) -> None:
        """Do nothing: there is nothing to write."""

    def close(self) -> None:
        """Make further reading an error."""
        self.closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def fileno(self) -> int:
        """Raise: there is no file behind this."""
        raise io.UnsupportedOperation("fileno")

    def tell(self) -> int:
        """Raise: it cannot be told, nor changed."""
        raise io.UnsupportedOperation("tell")

    def seek(self, _offset: int, _whence: int = 0, /) -> int:
        """Raise: what has been read is gone."""
        raise io.UnsupportedOperation("seek")

    def write(self, _data: Any, /) -> int:
        """Raise: a request is for reading."""
        raise io.UnsupportedOperation("write")

    def detach(self) -> Any:
        """Raise: there is nothing underneath."""
        raise io.UnsupportedOperation("detach")

    def _refill(self) -> bool:
        """Make sure that there is something left in the current block. False at the end."""
        while self._at >= len(self._block):
            if self.closed:
                raise ValueError("I/O operation on closed file: the request is over")
            block = self._next_block()
            self._block = block
            self._at = 0
            if not block:
                return False
        return True

    def _take(self, size: int) -> bytes:
        """Return up to ``size`` bytes of the current block."""
        block, start = self._block, self._at
        if start == 0 and size >= len(block):
            self._block = b""
            return block
        part = block[start : start + size]
        self._at = start + len(part)
        if self._at >= len(block):
            self._block = b""
            self._at = 0
        return part

    def read(self, size: int | None = -1, /) -> bytes:
        """Read ``size`` bytes, fewer only at the end of the body; all of it without a size."""
        parts: list[bytes] = []
        wanted = -1 if size is None or size < 0 else size
        while wanted != 0 and self._refill():
            part = self._take(len(self._block) if wanted < 0 else wanted)
            parts.append(part)
            if wanted > 0:
                wanted -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def read1(self, size: int = -1, /) -> bytes:
        """Read what is there, at most ``size`` bytes; waits only if nothing is there."""
        if size == 0 or not self._refill():
            return b""
        return self._take(len(self._block) if size < 0 else size)

    def readinto(self, buffer: Any, /) -> int:
        """Fill ``buffer``; return the number of bytes, less than its length only at the end."""
        view = memoryview(buffer).cast("B")
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)

    def readinto1(self, buffer: Any, /) -> int:
        """Put what is there into ``buffer``; return the number of bytes."""
        view = memoryview(buffer).cast("B")
        data = self.read1(len(view))
        view[: len(data)] = data
        return len(data)

    def readline(self, size: int | None = -1, /) -> bytes:
        """Read up to and with the next line feed, at most ``size`` bytes."""
        parts: list[bytes] = []
        wanted = -1 if size is None or size < 0 else size
        while wanted != 0 and self._refill():
            found = self._block.find(b"\n", self._at)
            length = (found + 1 if found >= 0 else len(self._block)) - self._at
            part = self._take(length if wanted < 0 else min(length, wanted))
            parts.append(part)
            if wanted > 0:
                wanted -= len(part)
            if part.endswith(b"\n"):
                break
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def readlines(self, hint: int | None = -1, /) -> list[bytes]:
        """Read the lines that are left; with a hint, stop after the line that reaches so many bytes."""
        lines: list[bytes] = []
        total = 0
        while True:
            line = self.readline()
            if not line:
                return lines
            lines.append(line)
            total += len(line)
            if hint is not None and 0 < hint <= total:
                return lines

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        line = self.readline()
        if not line:
            raise StopIteration
        return line
