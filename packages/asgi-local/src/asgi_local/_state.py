"""What one context holds for one Local, and the context variables that hold it.

A context keeps each variable that was ever set in it, with its value, for as long as the context
lives; nothing can take a variable out again. So variables are kept and used again, and what they hold
is emptied from here when the Local that had them goes.
"""

from __future__ import annotations

import sys
import weakref
from collections import deque
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable


# What sys.getrefcount counts for an object that nothing but the caller's own variable holds. From 3.14 on,
# the interpreter lends the object to the call without counting that; and it cannot become less than 1.
ONLY_MINE = 1 if sys.version_info >= (3, 14) else 2


class Held(dict[str, Any]):
    """The attributes of one Local in one context. Changed only while no other context can hold it.

    Contexts are copied without any notice to us, and the copies share what they hold. Copy-on-write is
    what keeps a task's changes from the task that started it.
    """

    __slots__ = ("__weakref__",)

    __asgi_local_clear__ = dict[str, Any].clear


class Trackable(Protocol):
    """What a context holds for a Local, and what empties it."""

    def __asgi_local_clear__(self) -> None: ...


class State(Held):
    """What is held, with a second place to look for a name."""

    # A special method may as well sit in a slot: Python looks __missing__ up on the type, finds the
    # slot's descriptor there, and that hands out the callable that was stored in this very state.
    __slots__ = ("__missing__",)

    __missing__: Callable[[str], Any]


class Cell:
    """A context variable on loan to one Local, and weak references to all that it was set to."""

    __slots__ = ("_pool", "limit", "states", "var")

    def __init__(self, pool: Cells) -> None:
        self._pool = pool
        self.var: ContextVar[Any] = ContextVar("asgi_local")
        # Finalisers empty the states, and a finaliser may run on any thread in the middle of anything:
        # so no lock here, and only such operations of a deque as are atomic.
        self.states: deque[weakref.ref[Trackable]] = deque()
        self.limit = 64

    def track(self, state: Trackable) -> None:
        """Remember *state* for as long as some context holds it."""
        self.states.append(weakref.ref(state))
        if len(self.states) > self.limit:
            self.forget_the_dead()

    def forget_the_dead(self) -> None:
        """Drop the references to what no context holds any more."""
        # Between popleft and append nobody can miss an entry: empty() runs when the Local is gone, and
        # here is a method of that Local at work.
        for _ in range(len(self.states)):
            try:
                entry = self.states.popleft()
            except IndexError:  # another thread is doing the same
                break
            if entry() is not None:
                self.states.append(entry)
        self.limit = 64 + 2 * len(self.states)

    def empty(self) -> None:
        """Take all values out of all contexts, those of other threads and suspended tasks included."""
        while self.states:
            try:
                state = self.states.popleft()()
            except IndexError:  # another thread is doing the same
                break
            if state is not None:
                state.__asgi_local_clear__()

    def discard(self) -> None:
        """Keep the empty cell for whoever wants one next."""
        self._pool.append(self)


class Cells(deque[Cell]):
    """Empty cells. One pool for each use: what a variable was set to has the same form wherever it goes."""

    def borrow(self) -> Cell:
        """Return a cell whose variable holds no values in any context."""
        try:
            return self.pop()
        except IndexError:
            return Cell(self)
