"""What one context holds for one Local, and the context variables that hold it.

A context keeps each variable that was ever set in it, with its value, for as long as the context lives; nothing
can take a variable out again. So variables are kept and used again, and what they hold is emptied from here when
the Local that had them goes.
"""

from __future__ import annotations

import weakref
from collections import deque
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from ._base import missing, plain_getattr

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._base import Local
    from ._home import Home


class Held(dict[str, Any]):
    """The attributes of one Local in one context. Never changed once a context holds it: a set makes a new one.

    Contexts are copied without any notice to us, and the copies share what they hold. Copy-on-write is what keeps
    a task's changes from the task that started it.
    """

    __slots__ = ("__weakref__",)


class State(Held):
    """What is held, with a second place to look for a name."""

    # A special method may as well sit in a slot: Python looks ``__missing__`` up on the type, finds the slot's
    # descriptor there, and that hands out the function that was stored in this very state.
    __slots__ = ("__missing__",)

    __missing__: Callable[[str], Any]


class OwnedState(State):
    """A state that knows the thread it belongs to, for interpreters whose new threads inherit a context."""

    __slots__ = ("home",)

    home: Home


class Cell:
    """A context variable on loan to one Local, and weak references to all that it was set to."""

    __slots__ = ("_limit", "_owner", "_states", "var")

    def __init__(self) -> None:
        self.var: ContextVar[Any] = ContextVar("asgi_local")
        # Finalisers empty the states, and a finaliser may run on any thread in the middle of anything: so no lock
        # here, and only such operations of a deque as are atomic.
        self._states: deque[weakref.ref[Held]] = deque()
        self._limit = 64
        self._owner: weakref.ref[Local] | None = None

    def lend(self, local: Local) -> None:
        self._owner = weakref.ref(local)

    def missing(self, name: str) -> Any:
        """Look *name* up where no state has it. Gives what every object has, such as ``__class__``."""
        local = self._owner and self._owner()
        # Between the end of a Local and its finaliser, code in another finaliser may still look at it.
        return missing(None, name) if local is None else plain_getattr(local, name)

    def track(self, state: Held) -> None:
        """Remember *state* for as long as some context holds it."""
        self._states.append(weakref.ref(state))
        if len(self._states) > self._limit:
            self._forget_the_dead()

    def _forget_the_dead(self) -> None:
        # Between popleft and append nobody can miss an entry: empty() runs when the Local is gone, and here is
        # a method of that Local at work.
        for _ in range(len(self._states)):
            try:
                entry = self._states.popleft()
            except IndexError:  # another thread is doing the same
                break
            if entry() is not None:
                self._states.append(entry)
        self._limit = 64 + 2 * len(self._states)

    def empty(self) -> None:
        """Take all values out of all contexts, those of other threads and of suspended tasks included."""
        self._owner = None
        while self._states:
            try:
                state = self._states.popleft()()
            except IndexError:  # another thread is doing the same
                break
            if state is not None:
                state.clear()

    def discard(self) -> None:
        """Keep the empty cell for whoever wants one next."""
        _free_cells.append(self)


_free_cells: deque[Cell] = deque()


def borrow_cell() -> Cell:
    """Return a cell whose variable holds nothing in any context."""
    try:
        return _free_cells.pop()
    except IndexError:
        return Cell()
