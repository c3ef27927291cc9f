"""One call of a WSGI application: call, iteration and close, all on one thread."""

from __future__ import annotations

import threading
from types import GeneratorType
from typing import TYPE_CHECKING, Any

from ._error_log import ErrorLog, log
from ._errors import REASONS, ClientDisconnected, RequestBodyError, RequestRefused, came_from, name_request
from ._file_wrapper import FileWrapper

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ._response import Response
    from ._sink import Sink

PLAIN = (b"content-type", b"text/plain")


class ApplicationRun:
    """Runs an application as far as the window of its sink allows, and goes on when there is room.

    ``advance`` is called on the thread of the application.
    After the end ``take_error`` tells what the application raised.
    """

    __slots__ = (
        "_application", "_body", "_error", "_get_environ", "_lock", "_orphaned", "_running", "_sink",
        "_start", "_steps", "response", "scope", "started",
    )  # fmt: skip

    def __init__(
        self,
        application: Callable[..., Any],
        get_environ: Callable[[], dict[str, Any]],
        start_response: Callable[..., Any],
        response: Response,
        sink: Sink,
        body: Any,
    ) -> None:
        self._application = application
        self._get_environ = get_environ
        self._start = start_response
        self.response: Response = response
        self._sink = sink
        self.scope: Any = None  # of the request, to name it in the log
        self.started: bool = False
        self._body = body
        self._error: BaseException | None = None
        self._orphaned = False
        self._lock = threading.Lock()
        self._running = False
        self._steps: Iterator[None] = self._perform()

    def advance(self) -> bool:
        """Run until the window is full (False) or the request is over (True)."""
        if self._running:
            # Sync code that waits on the sensitive thread lets others run there, and this visit among them:
            # it came to close what was stopped in mid-response, and the frame below it will do that.
            return False
        self._running = True
        self._sink.go_on()
        try:
            for _ in self._steps:
                return False
        except GeneratorExit as exc:  # the application's own: nobody closes the steps while they run
            self._failed(exc)
        finally:
            self._running = False
        return True

    def _perform(self) -> Iterator[None]:
        iterable: Any = None
        environ: dict[str, Any] | None = None
        ended = False
        self.started = True
        try:
            if self._sink.aborted:  # while it waited for a thread
                return
            environ = self._refuse_or_environ()
            if environ is None:
                return
            iterable = self._application(environ, self._start)
            if type(iterable) in (list, tuple) and not self.response.started:
                self.response.all_blocks(iterable)
            else:
                yield from self._iterate(iterable)
            ended = True
        except GeneratorExit:
            raise  # abandoned, by a loop that is gone: only close() is left to do
        except BaseException as exc:
            self._failed(exc)
        finally:
            self._close(iterable, ended)
            if environ is not None:
                errors = environ.get("wsgi.errors")
                if type(errors) is ErrorLog:
                    errors.flush()
            if self._body is not None:
                self._body.close()

    def _refuse_or_environ(self) -> dict[str, Any] | None:
        try:
            return self._get_environ()
        except RequestRefused as exc:
            self._answer(exc.status, exc.detail)
        except ValueError:
            # asgiref answers so whatever the ValueError of an overridden build_environ was.
            self._answer(400, "Too many duplicate headers")
        return None

    def _answer(self, status: int, detail: str) -> None:
        self.response.answer(status, [PLAIN], REASONS[status] + b": " + detail.encode())

    def _iterate(self, iterable: Any) -> Iterator[None]:
        response = self.response
        sink = self._sink
        if isinstance(iterable, FileWrapper) and response.file(iterable, sink.window):
            # The file has to stay open until the server has sent it.
            while not sink.is_drained() and sink.pause():
                yield
            return
        for block in iterate(iterable):
            if response.block(block):
                break
            if sink.is_full() and sink.pause():
                yield
            if sink.aborted:
                return
        response.finish()

    def _close(self, iterable: Any, ended: bool) -> None:
        sink = self._sink
        close = getattr(iterable, "close", None)
        if close is None:
            return
        if ended and not (type(iterable) is GeneratorType and iterable.gi_frame is None):
            sink.announce(ending=True)  # the client sees the end before a close() that takes its time
        try:
            close()
        except BaseException as exc:
            self._failed(exc)

    def _failed(self, exc: BaseException) -> None:
        body_error = came_from(exc, RequestBodyError)
        if isinstance(body_error, RequestBodyError):
            # The client's fault. Once the response has begun all that is left is to end it unfinished.
            if not self.response.started:
                self._answer(body_error.status, str(body_error))
            return
        if self._sink.aborted and came_from(exc, ClientDisconnected) is not None:
            return
        with self._lock:
            if self._error is not None:
                return  # the first one tells more
            self._error = as_exception(exc)
        if self._orphaned:
            self.orphan()

    def take_error(self) -> BaseException | None:
        """Return what the application raised, once: an exception that is kept keeps its frames alive."""
        with self._lock:
            error, self._error = self._error, None
            return error

    def orphan(self) -> None:
        """Say that nobody will ask for the error any more: it is logged, now or when it comes.

        From any thread.
        """
        self._orphaned = True
        error = self.take_error()
        if error is not None:
            if self.scope is not None:
                name_request(error, self.scope)
            log.error("a WSGI application failed after its request had ended", exc_info=error)


def iterate(iterable: Any) -> Iterator[Any]:
    """Return an iterator over what the application returned, or say what is wrong with it."""
    try:
        return iter(iterable)
    except TypeError:
        hint = "; an async application needs no adapter" if hasattr(iterable, "__await__") else ""
        raise TypeError(
            f"a WSGI application must return an iterable of bytes, not {type(iterable).__name__}{hint}"
        ) from None


def as_exception(exc: BaseException) -> BaseException:
    """Return an exception that can cross into a coroutine with its meaning kept.

    A coroutine cannot raise StopIteration; SystemExit and KeyboardInterrupt would end the server's loop, and
    CancelledError would pass for a cancelled task, for all of which a request is no reason.
    """
    if isinstance(exc, Exception) and not isinstance(exc, (StopIteration, StopAsyncIteration)):
        return exc
    error = RuntimeError(f"the WSGI application raised {type(exc).__name__}({str(exc)!r:.200})")
    error.__cause__ = exc
    return error
