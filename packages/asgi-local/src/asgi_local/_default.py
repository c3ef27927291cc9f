"""A Local that follows the context: per task, per thread, and wherever a context is carried on purpose.

Where an attribute is read, Python calls ``type(local).__getattribute__`` bound to the local. In a lane
that is a ``property`` around ``ContextVar.get``: to bind it is to read the variable, and what the variable
holds is then called with the attribute's name. It holds one of two things: ``getattr``, as a method of a
``Bound``, whose values stay on their thread; or the bound ``__getitem__`` of a ``State``, whose values travel
with the context. So C calls C all the way; one Python function in there would cost as much again as all the
rest.
"""

from __future__ import annotations

from asyncio import _get_running_loop as running_loop
from sys import getrefcount
from types import MethodType
from typing import TYPE_CHECKING, Any

from ._base import RESERVED, Local, check_name, kinds, missing, plain_getattr
from ._bound import TRAVELS, bind
from ._home import CONTEXT_IS_INHERITED
from ._lane import Lanes
from ._owned import build_owned
from ._stand_in import answer_for
from ._state import ONLY_MINE, Cell, Cells, State

if TYPE_CHECKING:
    from collections.abc import Callable


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


_cells = Cells()


def _build() -> tuple[Cell, dict[str, Any]]:
    cell = _cells.borrow()
    get = cell.var.get
    put = cell.var.set

    def travelling(values: dict[str, Any]) -> Callable[[str], Any]:
        state = State(values)
        state.__missing__ = look_further
        cell.track(state)
        return state.__getitem__

    def copy_of(held: dict[str, Any]) -> dict[str, Any]:
        """Put into the context a state with the same values, which is in no other one."""
        reader: Any = travelling(held)
        put(reader)
        state: dict[str, Any] = reader.__self__
        return state

    def hold(values: dict[str, Any]) -> None:
        """Put *values* into the context, where nothing that travels was before."""
        if running_loop() is None and not TRAVELS.get():
            bound = bind(values, methods, travelling)
            cell.track(bound)
            put(MethodType(getattr, bound))
        else:
            put(travelling(values))

    def set_attribute(self: Local, name: str, value: Any) -> None:
        if name in RESERVED:
            check_name(self, name)
        reader = get(None)
        if type(reader) is MethodType:
            bound = reader.__self__
            held = bound.__dict__
            # There is something only on the thread that made the Bound.
            if held and running_loop() is None:
                # What changes is a new object in the context, always: asgi-sync looks for such. And with
                # the new one in place, it shows whether a copy of the context holds the old one.
                put(MethodType(getattr, bound))
                if getrefcount(reader) == ONLY_MINE:
                    held[name] = value
                    return
            hold({**held, name: value})
        elif reader is None:
            hold({name: value})
        else:
            state = reader.__self__
            # One that is empty may be left from a Local that has gone: nobody would empty it again, and that it
            # travels says nothing of what is set now.
            if not state:
                hold({name: value})
                return
            put(state.__getitem__)
            if getrefcount(reader) == ONLY_MINE:
                state[name] = value
            else:
                copy_of(state)[name] = value

    def delete_attribute(self: Local, name: str) -> None:
        reader = get(None)
        held: dict[str, Any] = {} if reader is None else _seen(reader)
        if name not in held:
            missing(self, name)
        if type(reader) is MethodType:
            if running_loop() is None:
                put(MethodType(getattr, reader.__self__))
                if getrefcount(reader) == ONLY_MINE:
                    del held[name]
                    return
            held = dict(held)
            del held[name]
            hold(held)
        else:
            state = held
            put(state.__getitem__)
            if getrefcount(reader) != ONLY_MINE:
                state = copy_of(held)
            del state[name]

    def values(_: Local) -> dict[str, Any]:
        reader = get(None)
        return {} if reader is None else dict(_seen(reader))

    methods = {
        "__getattribute__": property(get),
        # ContextVar.get takes a default, and a property passes the object that it is asked on. So where
        # the variable is not set, it is the Local that is called with the name.
        "__call__": plain_getattr,
        "__setattr__": set_attribute,
        "__delattr__": delete_attribute,
        "__asgi_local_values__": values,
    }
    look_further = answer_for(methods)
    return cell, methods


def _seen(reader: Any) -> dict[str, Any]:
    """Return the values that *reader*, which a context variable holds, reads on this thread."""
    source: Any = reader.__self__
    held: dict[str, Any] = source.__dict__ if type(reader) is MethodType else source
    return held


_lanes = Lanes(DefaultLocal, build_owned if CONTEXT_IS_INHERITED else _build)
