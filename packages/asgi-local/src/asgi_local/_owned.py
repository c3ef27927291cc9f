"""The methods of a lane where a new thread starts with a copy of its parent's context.

There a context holds a state together with the home of the thread that set it, and a state of another thread
is asked about first. All states are alike, in sync code and in tasks: what may travel is decided where it
is seen.
"""

from __future__ import annotations

from sys import getrefcount
from typing import TYPE_CHECKING, Any

from ._base import RESERVED, check_name, missing, plain_getattr
from ._home import here, visible
from ._stand_in import answer_for
from ._state import ONLY_MINE, Cell, Cells, State

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ._base import Local


_cells = Cells()


def build_owned() -> tuple[Cell, dict[str, Any]]:
    cell = _cells.borrow()
    get = cell.var.get
    put = cell.var.set

    def get_attribute(self: Local, name: str) -> Any:
        try:
            home, held = get()
            if not home.is_here():
                held = visible(cell.var)
            return held[name]
        except LookupError:  # nothing was set, or nothing of it is to be seen here
            pass
        return plain_getattr(self, name)

    def hold(values: Mapping[str, Any]) -> State:
        """Put a state with *values* into the context, of this thread and in no other context."""
        state = State(values)
        state.__missing__ = look_further
        cell.track(state)
        put((here.home, state))
        return state

    def set_attribute(self: Local, name: str, value: Any) -> None:
        if name in RESERVED:
            check_name(self, name)
        entry = get(None)
        if entry is not None:
            home, held = entry
            # One that is empty may be left from a Local that has gone, and nobody would empty it again.
            if held and home.is_here():
                # In place, if no copy of the context holds the same: see _default.
                put((home, held))
                if getrefcount(entry) == ONLY_MINE:
                    held[name] = value
                    return
        hold(visible(cell.var))[name] = value

    def delete_attribute(self: Local, name: str) -> None:
        held = visible(cell.var)
        if name not in held:
            missing(self, name)
        entry = get()
        home = entry[0]
        if home.is_here():
            put((home, held))
            if getrefcount(entry) == ONLY_MINE:
                del entry[1][name]
                return
        del hold(held)[name]

    def values(_: Local) -> dict[str, Any]:
        return dict(visible(cell.var))

    methods = {
        "__getattribute__": get_attribute,
        "__setattr__": set_attribute,
        "__delattr__": delete_attribute,
        "__asgi_local_values__": values,
    }
    look_further = answer_for(methods)
    return cell, methods
