"""Who is told of each crossing.

`listeners` is what the bridges look at: with nobody in it, that one look is all that observation costs a call.
"""

from __future__ import annotations

import contextlib
import inspect
import logging
import threading
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from weakref import WeakValueDictionary

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from ._events import CrossingFinished, CrossingStarted, Place

L = TypeVar("L")

logger = logging.getLogger("asgi_sync")


class StartedListener(Protocol):
    """An object that hears when crossings start."""

    def started(self, event: CrossingStarted, /) -> object:
        """In the caller's thread and context, before the crossing."""


class FinishedListener(Protocol):
    """An object that hears when crossings have finished."""

    def finished(self, event: CrossingFinished, /) -> object:
        """In the caller's thread and context, after the crossing."""


class CrossingListener(StartedListener, FinishedListener, Protocol):
    """An object that hears of both."""


class Progress(Protocol):
    """How far a crossing has come that has not finished."""

    place: Place | None
    began: float | None
    ended: float | None


#: By the number of the crossing.
in_progress: WeakValueDictionary[int, Progress] = WeakValueDictionary()


class Ears:
    """A listener, and what of it to call."""

    __slots__ = ("finished", "listener", "started")

    def __init__(self, listener: Any) -> None:
        started, finished = getattr(listener, "started", None), getattr(listener, "finished", None)
        if started is None and finished is None:
            started = finished = listener
        methods = [method for method in (started, finished) if method is not None]
        if not methods or not all(callable(method) for method in methods):
            raise TypeError(
                "a listener must have a method started(event) or finished(event), or be callable with an "
                f"event, not {listener!r}"
            )
        for heard in methods:
            if inspect.iscoroutinefunction(heard):
                raise TypeError(f"a listener must be sync: the crossing does not wait for {heard!r}")
        self.listener = listener
        self.started: Callable[[Any], object] | None = started
        self.finished: Callable[[Any], object] | None = finished


#: Changed in place, under the lock: the bridges hold the list itself.
listeners: list[Ears] = []
_lock = threading.Lock()

#: The running code is a listener, whose own crossings are not observed: it would be told of them without end.
_is_listening: ContextVar[bool] = ContextVar("asgi_sync.is_listening", default=False)


class Observed:
    """Marks the bridges that carry an observed crossing, which is not to be observed again."""


def register(listener: L) -> L:
    """Have a listener told of every crossing that starts from now on, in all threads.

    Args:
        listener: An object with a method `started(event)`, a method `finished(event)` or both; or a callable, which
            is given both kinds of event. See `CrossingStarted` and `CrossingFinished`.

    Both are called on the thread of the caller and in its context: a context variable that `started` sets is seen by
    the code that is called, and `finished` can reset it with its token. They should be quick, for the caller waits
    for them. What they raise is logged and does not disturb the call. Crossings of a listener itself are not observed.

    Returns:
        The listener, so that `register` can be used as a decorator.

    Raises:
        TypeError: If it is neither, or a coroutine function.
        ValueError: If it is registered already.

    >>> from asgi_sync import async_to_sync, instrumentation
    >>> async def greet(name):
    ...     return f"Hello {name}"
    >>> @instrumentation.register
    ... def listener(event):
    ...     if isinstance(event, instrumentation.CrossingFinished):
    ...         print(event.started.direction.value, event.started.name.rpartition(".")[2], event.outcome.value)
    >>> async_to_sync(greet)("you")
    async_to_sync greet returned
    'Hello you'
    >>> instrumentation.unregister(listener)
    """
    ears = Ears(listener)
    with _lock:
        if any(each.listener is listener for each in listeners):
            raise ValueError(f"{listener!r} is registered already")
        listeners.append(ears)
    return listener


def unregister(listener: object) -> None:
    """Tell a listener of no more crossings. Of those that it was told the start, it is still told the end.

    Raises:
        ValueError: If it is not registered.
    """
    with _lock:
        for ears in listeners:
            if ears.listener is listener:
                listeners.remove(ears)
                return
    raise ValueError(f"{listener!r} is not registered")


@contextlib.contextmanager
def listening(listener: L) -> Generator[L]:
    """Register a listener for the time of a block.

    >>> from asgi_sync import async_to_sync, instrumentation
    >>> async def nothing(): ...
    >>> events = []
    >>> with instrumentation.listening(events.append):
    ...     async_to_sync(nothing)()
    >>> [type(event).__name__ for event in events]
    ['CrossingStarted', 'CrossingFinished']
    """
    register(listener)
    try:
        yield listener
    finally:
        unregister(listener)


def is_listening() -> bool:
    """Whether the running code is a listener's."""
    return _is_listening.get()


def tell(hear: Callable[[Any], object], event: object) -> None:
    """Give a listener an event. What it raises is logged, unless it is to end the program."""
    token = _is_listening.set(True)
    try:
        hear(event)
    except Exception:
        logger.exception("The listener %r failed; the call that it was told of goes on", hear)
    finally:
        _is_listening.reset(token)
