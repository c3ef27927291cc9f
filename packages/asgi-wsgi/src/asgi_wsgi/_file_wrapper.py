"""``environ["wsgi.file_wrapper"]`` (PEP 3333, "Optional Platform-Specific File Handling")."""

from __future__ import annotations

import os
import stat
from typing import Any

# Applications commonly ask for 8 KiB, a good size for a socket, but small for a trip between threads.
LEAST_BLOCK = 65536


class FileWrapper:
    """An iterable over the blocks of a file, which a server may recognise and send in a quicker way.

    Args:
        filelike: anything with ``read(size)``; closed, if it has ``close()``, when the response ends.
        blksize: bytes to read at a time. At least 64 KiB are read whatever is asked for.
    """

    def __init__(self, filelike: Any, blksize: int = 8192) -> None:
        self.filelike = filelike
        self.blksize: int = max(blksize, LEAST_BLOCK)
        if hasattr(filelike, "close"):
            self.close: Any = filelike.close

    def __iter__(self) -> FileWrapper:
        return self

    def __next__(self) -> bytes:
        data: bytes = self.filelike.read(self.blksize)
        if data:
            return data
        raise StopIteration


def regular_file(wrapper: FileWrapper) -> tuple[int, int, int] | None:
    """Return (file descriptor, position, bytes from there to the end) of a regular file, None for anything
    else.
    """
    try:
        descriptor: int = wrapper.filelike.fileno()
        position: int = wrapper.filelike.tell()
        status = os.fstat(descriptor)
    except (AttributeError, OSError, ValueError):
        return None
    if not stat.S_ISREG(status.st_mode) or status.st_size < position:
        return None
    return descriptor, position, status.st_size - position


def whole_path(wrapper: FileWrapper, position: int) -> str | None:
    """Return the absolute path of the file if the response is all of it, and the path still leads to it."""
    name = getattr(wrapper.filelike, "name", None)
    if position != 0 or not isinstance(name, str):
        return None
    path = os.path.abspath(name)
    try:
        if os.path.samestat(os.stat(path), os.fstat(wrapper.filelike.fileno())):
            return path
    except OSError:
        return None
    return None
