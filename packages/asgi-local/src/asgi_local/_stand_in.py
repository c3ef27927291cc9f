"""What answers for a Local where a state has no such name."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from ._base import Local, plain_getattr

if TYPE_CHECKING:
    from collections.abc import Callable


class StandIn(Local):  # type: ignore[misc]  # final is for users
    """Answers for a Local with what all objects have, or with AttributeError.

    A state outlives its Local and must not keep it alive, so it cannot ask the Local itself; and only C
    code raises as fast as ``threading.local`` does.
    """

    __slots__ = ("__asgi_local_methods__",)

    def __setattr__(self, name: str, value: Any) -> None:
        plain_getattr(self, "__asgi_local_methods__")["__setattr__"](self, name, value)

    def __delattr__(self, name: str) -> None:
        plain_getattr(self, "__asgi_local_methods__")["__delattr__"](self, name)

    def __asgi_local_values__(self) -> dict[str, Any]:
        held: dict[str, Any] = plain_getattr(self, "__asgi_local_methods__")["__asgi_local_values__"](self)
        return held


StandIn.__name__ = StandIn.__qualname__ = "Local"
StandIn.__doc__ = Local.__doc__


def answer_for(methods: dict[str, Any]) -> Callable[[str], Any]:
    """Return what to ask for a name that a state of the lane with these methods does not hold."""
    stand_in = object.__new__(StandIn)
    object.__setattr__(stand_in, "__asgi_local_methods__", methods)
    return partial(getattr, stand_in)
