"""Calls that are given context variables of their own, and may be given the same ones.

A context can be entered by one thread at a time. Were the worker to enter it, a task that runs in the same context, or
a second call, would fail or not depending on the moment (asgiref issue 536). So the worker runs in a copy, calls with
the same context follow one another, and the changes are written back on the loop's thread.
"""

from __future__ import annotations

import asyncio
from contextvars import Context, ContextVar
from typing import Any

from asgi_local.lowlevel import depart

from ._context import write_back


class _Turn:
    """Whose turn it is, among the calls of one loop that share a context."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.users = 0


_turns: dict[tuple[int, int], _Turn] = {}
#: The contexts that the calls further out have taken.
_held: ContextVar[tuple[Context, ...]] = ContextVar("asgi_sync.held_contexts", default=())
_probe: ContextVar[Any] = ContextVar("asgi_sync.probe", default=None)


class SharedContext:
    """A turn with a context. On the loop's thread."""

    def __init__(self, context: Context, loop: asyncio.AbstractEventLoop) -> None:
        self._context = context
        self._key = (id(context), id(loop))

    async def enter(self) -> Context:
        """Wait for the turn; return the copy to run in."""
        held = _held.get()
        if any(context is self._context for context in held):
            raise RuntimeError(
                "The context given to sync_to_async is in use by a call that this call is part of."
            )
        self._turn = turn = _turns.setdefault(self._key, _Turn())
        turn.users += 1
        try:
            await turn.lock.acquire()
        except BaseException:
            self._leave()
            raise
        self._copy = copy = self._context.copy()
        copy.run(depart)
        copy.run(_held.set, (*held, self._context))
        self._baseline = copy.copy()
        return copy

    def leave(self) -> None:
        """End the turn, with what the copy has set written back."""
        try:
            if self._is_current():
                write_back(self._copy, self._baseline)
            else:
                self._context.run(write_back, self._copy, self._baseline)
        finally:
            self._turn.lock.release()
            self._leave()

    def _leave(self) -> None:
        self._turn.users -= 1
        if not self._turn.users:
            del _turns[self._key]

    def _is_current(self) -> bool:
        """Whether the task itself runs in that context."""
        token = _probe.set(self)
        try:
            return self._context.get(_probe) is self
        finally:
            _probe.reset(token)
