"""The methods of a lane where a new thread starts with a copy of its parent's context.

As in ``_default``, but each state names its thread, and a state of another one is asked about first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._base import RESERVED, check_name, missing, plain_getattr
from ._home import here, visible
from ._state import Cell, Cells, OwnedState

if TYPE_CHECKING:
    from ._base import Local


_cells = Cells()


def build_owned() -> tuple[Cell, dict[str, Any]]:
    cell = _cells.borrow()
    var = cell.var
    get = var.get
    put = var.set
    track = cell.track

    def get_attribute(self: Local, name: str) -> Any:
        try:
            state = get()
            if state.home is here.home:
                return state[name]
            state = visible(var)
            if state is not None:
                return state[name]
        except (LookupError, AttributeError):  # no such name, or nothing was set, or all of it is disowned
            pass
        return plain_getattr(self, name)

    def copy_of_visible() -> OwnedState:
        home = here.home
        seen = get(None)
        if seen is None or seen.home is not home:
            seen = visible(var)
        state = OwnedState() if seen is None else OwnedState(seen)
        state.home = home
        return state

    def set_attribute(self: Local, name: str, value: Any) -> None:
        if name in RESERVED:
            check_name(self, name)
        state = copy_of_visible()
        state[name] = value
        track(state)
        put(state)

    def delete_attribute(self: Local, name: str) -> None:
        state = copy_of_visible()
        if name not in state:
            missing(self, name)
        del state[name]
        track(state)
        put(state)

    def values(_: Local) -> dict[str, Any]:
        state = visible(var)
        return {} if state is None else dict(state)

    return cell, {
        "__getattribute__": get_attribute,
        "__setattr__": set_attribute,
        "__delattr__": delete_attribute,
        "__asgi_local_values__": values,
    }
