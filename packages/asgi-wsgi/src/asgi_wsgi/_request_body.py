"""The request body: collected before the application runs, or streamed while it reads."""

from __future__ import annotations

import asyncio
import io
import threading
from collections import deque
from tempfile import SpooledTemporaryFile
from typing import TYPE_CHECKING, Any

from ._block_reader import BlockReader
from ._errors import ClientDisconnected, LoopGone, RequestBodyError, RequestRefused
from ._waiting import LOOK_INTERVAL

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._mailbox import Mailbox
    from ._types import Message, Receive
    from ._waiting import Gate, MakeGate

# Bodies that are collected stay in memory up to here, longer ones go to a temporary file.
SPOOL_SIZE = 65536


def request_part(message: Message) -> tuple[bytes, bool]:
    """Return (bytes, whether more will come) of a http.request message; raise for anything else."""
    kind = message["type"]
    if kind == "http.request":
        return message.get("body") or b"", bool(message.get("more_body"))
    if kind == "http.disconnect":
        raise ClientDisconnected("the client disconnected before the whole request body was received")
    raise ValueError(f"expected a http.request or http.disconnect message, not {kind!r}")


async def collect_body(
    receive: Receive, length: int | None, limit: int | None, patience: float | None
) -> Any:
    """Receive the whole body and return it as a file, of which no more than ``length`` bytes can be read.

    Raises:
        ClientDisconnected: before the end of the body.
        RequestRefused: the body is longer than ``limit`` bytes (413), or no part of it came for ``patience``
            seconds (408).
    """
    check_announced(length, limit)
    block, more = request_part(await _receive_within(receive, patience))
    if not more:
        if limit is not None and len(block) > limit:
            raise RequestRefused(413, too_long(limit))
        if length is None or len(block) == length:
            return io.BytesIO(block)
        return clamped(io.BytesIO(block[:length]), len(block), length)
    file = SpooledTemporaryFile(max_size=SPOOL_SIZE)  # noqa: SIM115 -- the request closes it
    try:
        total = 0
        while True:
            total += len(block)
            if limit is not None and total > limit:
                raise RequestRefused(413, too_long(limit))
            file.write(block if length is None else block[: max(length - total + len(block), 0)])
            if not more:
                break
            block, more = request_part(await _receive_within(receive, patience))
    except BaseException:
        file.close()
        raise
    file.seek(0)
    return file if length is None or total == length else clamped(file, total, length)


async def _receive_within(receive: Receive, patience: float | None) -> Any:
    if patience is None:
        return await receive()
    try:
        async with asyncio.timeout(patience):
            return await receive()
    except TimeoutError:
        raise RequestRefused(408, too_slow(patience)) from None


def check_announced(length: int | None, limit: int | None) -> None:
    """Refuse a body whose Content-Length is over the limit before any of it is received."""
    if limit is not None and length is not None and length > limit:
        raise RequestRefused(413, too_long(limit))


def too_long(limit: int) -> str:
    return f"the request body is longer than {limit} bytes"


def too_slow(patience: float) -> str:
    return f"no part of the request body came for {patience:g} seconds"


def too_short(received: int, length: int) -> str:
    return f"the request body ended after {received} of {length} bytes"


def clamped(file: Any, received: int, length: int) -> Any:
    """Return a reader for a body that is not as long as its Content-Length says."""
    return file if received > length else ShortBody(file, received, length)


class ShortBody(BlockReader):
    """A collected body that ended before its Content-Length: reading past what is there is an error."""

    def __init__(self, file: Any, received: int, length: int) -> None:
        self._file = file
        self._detail = too_short(received, length)

    def _next_block(self) -> bytes:
        block: bytes = self._file.read(SPOOL_SIZE)
        if not block:
            raise RequestBodyError(400, self._detail)
        return block

    def close(self) -> None:
        """Close the file underneath as well."""
        self._file.close()
        super().close()


class StreamedBody(BlockReader):
    """A body that is received while the application reads it.

    Nothing is received before the first read. From then on the loop receives ahead of the application, up to
    a window of bytes. The thread's side is BlockReader; ``feed``, ``disconnect`` and ``may_receive`` are the
    loop's.
    """

    # Most requests have no body that anybody reads: what is not set costs nothing.
    _gate: Gate | None = None
    _waiting = False
    _buffered = 0
    _received = 0
    _read = 0
    _asked = False
    _error: OSError | None = None

    def __init__(
        self,
        mailbox: Mailbox,
        make_gate: MakeGate,
        on_wanted: Callable[[], object],
        window: int,
        length: int | None,
        limit: int | None,
    ) -> None:
        self._mailbox = mailbox
        self._make_gate = make_gate
        self._on_wanted = on_wanted
        self._window = window
        self._length = length
        self._limit = limit
        self._lock = threading.Lock()
        self._blocks: deque[bytes] = deque()
        self._complete = length == 0

    # The application's thread.

    def _next_block(self) -> bytes:
        while True:
            with self._lock:
                if self._blocks:
                    block = self._blocks.popleft()
                    self._buffered -= len(block)
                    self._read += len(block)
                    asking = (
                        self._asked is False and not self._complete and self._buffered * 2 <= self._window
                    )
                    self._asked = self._asked or asking
                    break
                if self._length is not None and self._read >= self._length:
                    return b""
                self._raise_error()
                if self._complete:
                    return b""
                gate = self._prepare_wait()
                asking = not self._asked
                self._asked = True
            if asking:
                self._ask()
            # Ends when a block or the end of the body arrives, when the request is over, or with the loop.
            while not gate.wait(LOOK_INTERVAL):
                if self._mailbox.loop_is_closed():
                    self.disconnect()
        if asking:
            self._ask()
        return block

    def _raise_error(self) -> None:
        # A new one each time: an exception that is raised again collects tracebacks.
        if isinstance(self._error, RequestBodyError):
            raise RequestBodyError(self._error.status, str(self._error))
        if self._error is not None:
            raise ClientDisconnected(str(self._error))

    def _prepare_wait(self) -> Gate:
        if self._gate is None:
            self._gate = self._make_gate()
        self._waiting = True
        return self._gate

    def _ask(self) -> None:
        try:
            self._mailbox.post(self._on_wanted)
        except LoopGone:
            self.disconnect()

    # The loop.

    def may_receive(self) -> bool:
        """Whether there is room for more, and more to come. False makes the application ask again."""
        with self._lock:
            if self._complete or self._error is not None or self._buffered >= self._window:
                self._asked = False
                return False
            return True

    def is_complete(self) -> bool:
        """Whether the body has been received to its end: any further message is a disconnect."""
        return self._complete

    def is_awaited(self) -> bool:
        """Whether the application waits for bytes right now."""
        return self._waiting

    def feed(self, block: bytes, more: bool) -> None:
        """Take the next part of the body."""
        with self._lock:
            self._received += len(block)
            received, length = self._received, self._length
            if self._limit is not None and received > self._limit:
                self._error = RequestBodyError(413, too_long(self._limit))
                block = b""
            elif length is not None and received > length:
                block = block[: max(length - received + len(block), 0)]
            if not more:
                self._complete = True
                if length is not None and received < length and self._error is None:
                    self._error = RequestBodyError(400, too_short(received, length))
            if block:
                self._blocks.append(block)
                self._buffered += len(block)
            if block or self._complete or self._error is not None:
                self._wake()

    def fail(self, error: OSError) -> None:
        """Make reading beyond what has been received raise ``error``. From any thread."""
        with self._lock:
            if self._error is None and not self._complete:
                self._error = error
            self._wake()

    def disconnect(self) -> None:
        """Take note that the rest of the body will never come. From any thread."""
        self.fail(ClientDisconnected("the client disconnected before the whole request body was received"))

    def _wake(self) -> None:
        if self._waiting and self._gate is not None:
            self._waiting = False
            self._gate.release()
