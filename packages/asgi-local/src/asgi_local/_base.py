"""The public class, and what its two kinds have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn, final

if TYPE_CHECKING:
    from collections.abc import Iterator

# object's own look-up: finds what the class has, and raises Python's own AttributeError for all else.
plain_getattr = object.__getattribute__


@final
class Local:
    """A namespace like ``threading.local`` that also follows asyncio tasks.

    Set, read and delete any attribute. In sync code the values belong to the thread, as with
    ``threading.local``; tasks of a loop that it runs see them, and no other thread. In a task they belong to
    the task, as with ``contextvars``: awaited code shares them, a new task starts with what its creator held,
    and what it changes is its own. Code that ``asyncio.to_thread`` runs sees the values that were set in the
    task that called it; asgi-sync's ``sync_to_async`` and ``async_to_sync`` carry all values over, and changes
    back. A new thread begins with nothing, whatever started it.

    A Local may be used from all threads and loops at the same time. What it holds is dropped when the
    Local is.

    Args:
        thread_critical: keep the values strictly on their thread, for what must not leave it (a database
            handle, say). In sync code that is ``threading.local``. In a task, the values belong to the thread
            *and* the task: they are not carried to another thread, and not shared with its sync code.

    Raises:
        TypeError: a subclass was called, or the Local is to be copied or pickled.
        AttributeError: the attribute is not set here; or the name to set is one that Python itself uses (such
            as ``__class__``), or ``_data``, which asgiref refuses.

    ``vars(local)`` shows what is held here and is not to be changed, iteration gives its names, ``repr`` shows
    the names only.
    The contract is that of ``asgiref.local.Local``; where it differs is in the README.

    >>> import asyncio, threading
    >>> from asgi_local import Local
    >>> request = Local()
    >>> request.user = "ada"
    >>> async def view():
    ...     request.user = "grace"  # seen in this task only
    ...     return await asyncio.to_thread(lambda: request.user)
    >>> asyncio.run(view())
    'grace'
    >>> request.user
    'ada'
    >>> thread = threading.Thread(target=lambda: print(vars(request)))
    >>> thread.start(); thread.join()
    {}
    """

    __slots__ = ()

    def __new__(cls, thread_critical: bool = False) -> Local:
        if cls is not Local:
            raise TypeError(
                f"Local cannot be subclassed, and {cls.__qualname__} is a subclass: Local() gives an object "
                "of one of two specialised classes; keep a Local in an attribute of your class instead"
            )
        return object.__new__(kinds[bool(thread_critical)])

    def __init__(self, thread_critical: bool = False) -> None:
        """See the class."""

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...
        def __setattr__(self, name: str, value: Any) -> None: ...
        def __delattr__(self, name: str) -> None: ...

    @property
    def __dict__(self) -> dict[str, Any]:  # type: ignore[override]  # vars(local) asks for it
        return values(self)

    def __iter__(self) -> Iterator[str]:
        return iter(values(self))

    def __dir__(self) -> list[str]:
        return sorted({*object.__dir__(self), *values(self)})

    def __repr__(self) -> str:
        names = ", ".join(map(repr, values(self))) or "nothing"
        return f"<asgi_local.Local at {id(self):#x} holding {names} in this context>"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError(
            "a Local cannot be copied or pickled: what it holds belongs to the threads and tasks that set "
            "it; copy or pickle vars(local), the values that are visible here"
        )


# Names that Python itself looks up on an object, those that the kinds use, and the one that asgiref refuses.
RESERVED = frozenset(dir(Local)) | frozenset(
    ["__weakref__", "__del__", "__call__", "_data"]
    + [f"__asgi_local_{name}__" for name in ("values", "methods", "home", "travel", "clear")]
)

# thread_critical -> class; filled by the modules of the two.
kinds: dict[bool, type[Local]] = {}


def values(local: Local) -> dict[str, Any]:
    """Return a copy of what *local* holds here."""
    kind: Any = type(local)
    held: dict[str, Any] = kind.__asgi_local_values__(local)
    return held


def check_name(local: Local, name: str) -> None:
    """Raise for a name that is not for users."""
    if name in RESERVED:
        message = f"cannot set or delete {name!r} on a Local: the name is reserved"
        raise AttributeError(message, name=name, obj=local)


def missing(local: Local | None, name: str) -> NoReturn:
    """Raise Python's usual error for an attribute that is not there."""
    raise AttributeError(f"'Local' object has no attribute {name!r}", name=name, obj=local)
