"""A Local that follows the context: per task, per thread, and wherever a context is carried on purpose.

Where an attribute is read, Python calls ``type(local).__getattribute__`` bound to the local. In a lane
that is a ``property`` around ``ContextVar.get``: to bind it is to read the variable, and what the variable
holds is then called with the attribute's name. It holds the bound ``__getitem__`` of a ``State``. So C
calls C all the way, about as fast as ``threading.local``; one Python function in there would cost as much
again as all the rest.
"""

from __future__ import annotations

from functools import partial
from typing import Any
from weakref import ref

from ._base import RESERVED, Local, check_name, kinds, missing, plain_getattr
from ._home import CONTEXT_IS_INHERITED
from ._lane import Lanes
from ._owned import build_owned
from ._state import Cell, Cells, State


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


class _StandIn(DefaultLocal):  # type: ignore[misc]  # as above
    """Answers for a Local where a state has no such name: with what all objects have, or AttributeError.

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


_StandIn.__name__ = "Local"


_cells = Cells()


def _build() -> tuple[Cell, dict[str, Any]]:
    cell = _cells.borrow()
    get = cell.var.get
    put = cell.var.set
    states = cell.states

    def set_attribute(self: Local, name: str, value: Any) -> None:
        if name in RESERVED:
            check_name(self, name)
        getitem = get(None)
        state = State() if getitem is None else State(getitem.__self__)
        state[name] = value
        state.__missing__ = look_further
        # That is cell.track(state), without the call.
        states.append(ref(state))
        if len(states) > cell.limit:
            cell.forget_the_dead()
        put(state.__getitem__)

    def delete_attribute(self: Local, name: str) -> None:
        getitem = get(None)
        if getitem is None or name not in getitem.__self__:
            missing(self, name)
        state = State(getitem.__self__)
        del state[name]
        state.__missing__ = look_further
        cell.track(state)
        put(state.__getitem__)

    def values(_: Local) -> dict[str, Any]:
        getitem = get(None)
        return {} if getitem is None else dict(getitem.__self__)

    methods = {
        "__getattribute__": property(get),
        # ContextVar.get takes a default, and a property passes the object that it is asked on. So where
        # the variable is not set, it is the Local that is called with the name.
        "__call__": plain_getattr,
        "__setattr__": set_attribute,
        "__delattr__": delete_attribute,
        "__asgi_local_values__": values,
    }
    stand_in = object.__new__(_StandIn)
    object.__setattr__(stand_in, "__asgi_local_methods__", methods)
    look_further = partial(getattr, stand_in)
    return cell, methods


_lanes = Lanes(DefaultLocal, build_owned if CONTEXT_IS_INHERITED else _build)
