"""A Local that follows the context: per task, per thread, and wherever a context is carried on purpose.

Where an attribute is read, Python calls ``type(local).__getattribute__`` bound to the local. In a lane that is a
``property`` around ``ContextVar.get``: to bind it is to read the variable, and what the variable holds is then called
with the attribute's name. It holds the bound ``__getitem__`` of a ``State``. So C calls C all the way, about as fast
as ``threading.local``; one Python function in there would cost as much again as all the rest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._base import RESERVED, Local, check_name, kinds, missing, plain_getattr
from ._home import CONTEXT_IS_INHERITED
from ._lane import Lanes
from ._owned import build_owned
from ._state import Cell, State, borrow_cell


class DefaultLocal(Local):  # type: ignore[misc]  # final is for users
    """The class of a ``Local()`` that was never set; a lane is a subclass of it."""

    __slots__ = ("__weakref__",)

    def __setattr__(self, name: str, value: Any) -> None:
        check_name(self, name)
        _lanes.enter(self)
        setattr(self, name, value)

    def __delattr__(self, name: str) -> None:
        missing(self, name)

    def __asgi_local_values__(self) -> dict[str, Any]:
        return {}


DefaultLocal.__name__ = "Local"
kinds[False] = DefaultLocal


def _build() -> tuple[Cell, dict[str, Any]]:
    cell = borrow_cell()
    get = cell.var.get
    put = cell.var.set
    track = cell.track
    look_further = cell.missing

    def set_attribute(self: Local, name: str, value: Any) -> None:
        if name in RESERVED:
            check_name(self, name)
        getitem = get(None)
        state = State() if getitem is None else State(getitem.__self__)
        state[name] = value
        state.__missing__ = look_further
        track(state)
        put(state.__getitem__)

    def delete_attribute(self: Local, name: str) -> None:
        getitem = get(None)
        if getitem is None or name not in getitem.__self__:
            missing(self, name)
        state = State(getitem.__self__)
        del state[name]
        state.__missing__ = look_further
        track(state)
        put(state.__getitem__)

    def values(_: Local) -> dict[str, Any]:
        getitem = get(None)
        return {} if getitem is None else dict(getitem.__self__)

    return cell, {
        "__getattribute__": property(get),
        # ContextVar.get takes a default, and a property passes the object that it is asked on. So where the
        # variable is not set, it is the Local that is called with the name.
        "__call__": plain_getattr,
        "__setattr__": set_attribute,
        "__delattr__": delete_attribute,
        "__asgi_local_values__": values,
    }


_lanes = Lanes(DefaultLocal, build_owned if CONTEXT_IS_INHERITED else _build)
