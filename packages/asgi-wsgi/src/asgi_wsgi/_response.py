"""The response of one request, as PEP 3333 lets an application build it, on the application's thread."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from ._errors import ClientDisconnected
from ._file_wrapper import FileWrapper, regular_file, whole_path
from ._outbox import MIN_BLOCK
from ._response_start import parse_headers, parse_status

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType
    from typing import TypeAlias

    from ._outbox import Item
    from ._sink import Sink
    from ._types import HeaderPairs, Message

    ExcInfo: TypeAlias = tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None]

# Responses that never have a body (RFC 9110, 6.4.1).
_BODILESS = frozenset({204, 205, 304})


class Response:
    """What is known of the response so far. Only the application's thread touches it.

    ``message`` (the http.response.start message), ``started`` and ``content_length`` are what asgiref shows
    as ``response_start``, ``response_started`` and ``response_content_length``.
    """

    __slots__ = (
        "_bodiless", "_extensions", "_fill_length", "_head", "_held_empty", "_merge", "_sent", "_sink",
        "_trailers", "_written", "content_length", "message", "started", "wait_for_room",
    )  # fmt: skip

    def __init__(self) -> None:
        self.message: Message | None = None
        self.started: bool = False
        self.content_length: int | None = None
        self.wait_for_room: Callable[[], None] | None = None
        self._sink: Sink | None = None
        self._head = False
        self._bodiless = False
        self._merge = False
        self._fill_length = False
        self._extensions: Any = ()
        self._sent = 0
        self._written = False
        self._held_empty = 0
        self._trailers: HeaderPairs | None = None

    def connect(self, sink: Sink, scope: Any, *, merge: bool, fill_length: bool) -> None:
        """Say where the response goes to, and which request it answers."""
        self._sink = sink
        self._head = self._bodiless = scope["method"] == "HEAD"
        self._merge = merge
        self._fill_length = fill_length
        self._extensions = scope.get("extensions") or ()

    def disconnect(self) -> None:
        """Say that the request is over: whoever still holds ``write`` gets an error."""
        self._sink = None
        self.wait_for_room = None

    def start(
        self, status: str, response_headers: Sequence[Any], exc_info: ExcInfo | None = None
    ) -> Callable[[bytes], None]:
        """WSGI's ``start_response``: note status and headers, send nothing, return ``write``."""
        try:
            if self.started and exc_info is not None and exc_info[1] is not None:
                raise exc_info[1].with_traceback(exc_info[2])
            if self.message is not None and exc_info is None:
                raise ValueError("start_response was called again without exc_info (PEP 3333)")
            number = parse_status(status)
            headers, self.content_length, trailers = parse_headers(response_headers)
            self.message = {"type": "http.response.start", "status": number, "headers": headers}
            self._trailers = None
            if trailers and "http.response.trailers" in self._extensions:
                self.message["trailers"] = True
                self._trailers = []
        finally:
            exc_info = None  # a traceback that holds this frame would keep itself alive
        return self.write

    def write(self, data: bytes) -> None:
        """The ``write`` callable: hand bytes on before the iterable is looked at."""
        self._connected().check()
        self._written = True
        self.block(data)
        self._written = False
        if self.wait_for_room is not None:
            self.wait_for_room()
        self._connected().check()

    def block(self, data: Any) -> bool:
        """Hand on one block of the body. Return True when the client needs no more of them."""
        if type(data) is not bytes:
            data = as_bytes(data)
        if not self.started:
            if self.message is None:
                if not data:
                    return False  # a generator may still call start_response in a later step
                raise _never_started()
            if not data and not self._bodiless:
                # Nothing has gone out, so that an error can still change the status (PEP 3333).
                self._held_empty += 1
                return self.content_length == 0
            self._begin()
        if self._bodiless:
            return True
        return self._put_block(data)

    def _put_block(self, data: bytes) -> bool:
        length = self.content_length
        if length is not None and len(data) > length - self._sent:
            data = data[: length - self._sent]
        self._sent += len(data)
        sink = self._connected()
        if data or not self._merge:
            sink.put(data, max(len(data), MIN_BLOCK), written=self._written)
            sink.announce()
        return self._sent == length

    def all_blocks(self, blocks: Sequence[Any]) -> None:
        """Hand on a body that is there as a whole, and complete the response: all in one go."""
        blocks = [block if type(block) is bytes else as_bytes(block) for block in blocks]
        message = self.message
        if message is None:
            raise _never_started()
        total = sum(map(len, blocks))
        fill = self.content_length is None and self._fill_length and "trailers" not in message
        # The length of the answer to a HEAD is that of the body a GET would get, which an empty list does
        # not tell.
        if fill and message["status"] not in _BODILESS and (total or not self._head):
            message["headers"].append((b"content-length", b"%d" % total))
            self.content_length = total
        items = self._beginning(message)
        length = self.content_length
        if not self._bodiless:
            for data in blocks:
                if length is not None and len(data) > length - self._sent:
                    data = data[: length - self._sent]
                self._sent += len(data)
                if data or not self._merge:
                    items.append((data, max(len(data), MIN_BLOCK)))
                if self._sent == length:
                    break
        if not self._is_short():
            items += self._end()
        self._connected().put_all(items)
        if self._is_short():
            raise self._too_short()

    def file(self, wrapper: FileWrapper, window: int) -> bool:
        """Leave the file to the server, if it offers to send files itself.

        The item fills the window by itself.
        """
        paths, zero_copy = (
            f"http.response.{name}" in self._extensions for name in ("pathsend", "zerocopysend")
        )
        if not (paths or zero_copy) or self.message is None or self._bodiless_status() or self.started:
            return False
        facts = regular_file(wrapper)
        if facts is None:
            return False
        descriptor, position, remaining = facts
        count = remaining if self.content_length is None else min(remaining, self.content_length)
        path = whole_path(wrapper, position) if paths and count == remaining else None
        if path is not None:
            item: Message = {"type": "http.response.pathsend", "path": path}
        elif zero_copy:
            item = {"type": "http.response.zerocopysend", "file": descriptor, "offset": position}
            item |= {"count": count, "more_body": True}
        else:
            return False
        if self._fill_length and self.content_length is None:
            self.message["headers"].append((b"content-length", b"%d" % count))
            self.content_length = count
        self._begin()
        self._sent = count
        sink = self._connected()
        sink.put(item, window)
        if path is None:
            sink.put(None)
        sink.announce()
        return True

    def _bodiless_status(self) -> bool:
        return self._head or (self.message is not None and self.message["status"] in _BODILESS)

    def _begin(self) -> None:
        if self.message is None:
            raise _never_started()
        self._connected().put_all(self._beginning(self.message))

    def _beginning(self, message: Message) -> list[tuple[Item, int]]:
        self.started = True
        self._bodiless = self._bodiless_status()
        if self._merge or self._bodiless or not self._held_empty:
            return [(message, 0)]
        return [(message, 0), *[(b"", MIN_BLOCK)] * self._held_empty]

    def finish(self) -> None:
        """Complete the response.

        Raises:
            RuntimeError: ``start_response`` was never called, or the body was shorter than its
            Content-Length.
        """
        if not self.started:
            self._begin()
        if self._is_short():
            raise self._too_short()
        self._connected().put_all(self._end())

    def _is_short(self) -> bool:
        return self.content_length is not None and self._sent < self.content_length and not self._bodiless

    def _too_short(self) -> RuntimeError:
        return RuntimeError(
            f"the application announced a Content-Length of {self.content_length} bytes, "
            f"but its body ended after {self._sent}"
        )

    def _end(self) -> list[tuple[Item, int]]:
        if self._trailers is None:
            return [(None, 0)]
        trailers = {"type": "http.response.trailers", "headers": self._trailers, "more_trailers": False}
        return [(None, 0), (trailers, 0)]

    def send_trailers(self, headers: Sequence[Any]) -> None:
        """``environ["asgi.send_trailers"]``: fields to send after the body; announce them with a Trailer
        header.
        """
        if self._trailers is None:
            raise RuntimeError("trailers must be announced with a Trailer header in start_response")
        self._trailers.extend(parse_headers(headers)[0])

    def send_early_hints(self, headers: Sequence[Any]) -> None:
        """``environ["wsgi.early_hints"]``: send Link headers ahead in a 103 answer (RFC 8297)."""
        if self.started:
            raise RuntimeError("early hints must be sent before the response begins")
        links = [value for name, value in parse_headers(headers)[0] if name == b"link"]
        if links:
            sink = self._connected()
            sink.put({"type": "http.response.early_hint", "links": links})
            sink.announce()

    def answer(self, status: int, headers: HeaderPairs, body: bytes) -> None:
        """Send an answer of the adapter's own instead of the application's."""
        self.started = True
        sink = self._connected()
        if self._fill_length:
            headers = [*headers, (b"content-length", b"%d" % len(body))]
        sink.put({"type": "http.response.start", "status": status, "headers": headers})
        sink.put({"type": "http.response.body", "body": b"" if self._head else body})

    def _connected(self) -> Sink:
        if self._sink is None:
            raise ClientDisconnected("there is no request to answer, or it is over")
        return self._sink


def as_bytes(data: Any) -> bytes:
    """Return a block of a body as bytes, or say what is wrong with it."""
    if isinstance(cast("object", data), (bytes, bytearray, memoryview)):
        return bytes(data)
    hint = ""
    if isinstance(data, str):
        hint = "; encode it first"
    elif isinstance(data, int):
        hint = "; return [body] rather than body"
    raise TypeError(f"a WSGI response body consists of bytes, not {type(data).__name__} ({data!r:.60}){hint}")


def _never_started() -> RuntimeError:
    return RuntimeError("the application never called start_response")
