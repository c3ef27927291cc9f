"""The public class, and what its two kinds have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn, final

if TYPE_CHECKING:
    from collections.abc import Iterator

# Names that Python itself looks up on an object, and the one that asgiref refuses.
RESERVED = frozenset(dir(object)) | {"__dict__", "__slots__", "__weakref__", "__del__", "__iter__", "__call__", "_data"}

# object's own look-up: finds what the class has, and raises Python's own AttributeError for all else.
plain_getattr = object.__getattribute__


@final
class Local:
    """TODO"""

    __slots__ = ()

    def __new__(cls, thread_critical: bool = False) -> Local:
        if cls is not Local:
            raise TypeError(
                f"Local cannot be subclassed, and {cls.__qualname__} is a subclass: Local() gives an object of one of "
                "two specialised classes; keep a Local in an attribute of your class instead"
            )
        return object.__new__(kinds[bool(thread_critical)])

    def __init__(self, thread_critical: bool = False) -> None:
        """TODO"""

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
            "a Local cannot be copied or pickled: what it holds belongs to the threads and tasks that set it; "
            "copy or pickle vars(local), the values that are visible here"
        )


# thread_critical -> class; filled by the modules of the two.
kinds: dict[bool, type[Local]] = {}


def values(local: Local) -> dict[str, Any]:
    """Return a copy of what *local* holds here."""
    held: dict[str, Any] = type(local).__asgi_local_values__(local)  # type: ignore[attr-defined]  # the kinds have it
    return held


def check_name(local: Local, name: str) -> None:
    """Raise for a name that is not for users."""
    if name in RESERVED:
        raise AttributeError(f"cannot set or delete {name!r} on a Local: the name is reserved", name=name, obj=local)


def missing(local: Local | None, name: str) -> NoReturn:
    """Raise Python's usual error for an attribute that is not there."""
    raise AttributeError(f"'Local' object has no attribute {name!r}", name=name, obj=local)
