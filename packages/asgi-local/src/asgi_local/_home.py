"""Whose values are these? Only asked where a new thread starts with a copy of its parent's context.

``sys.flags.thread_inherit_context`` (Python 3.14, on by default in free-threaded builds) gives every
``threading.Thread`` a copy of the context that called ``start()``. A Local is private to its thread, so what came
that way must not be seen. But a context that somebody *carries* to another thread on purpose (``asyncio.to_thread``,
``loop.run_in_executor(None, context.run, f)``, asgi-sync) must bring its values. Both look the same from inside:
a context with values that another thread put there. What can be known, and what follows from it:

1. Every state names its *home*, an object of the thread that set it. The operating system uses a thread's id again
   as soon as the thread has ended; an object that is in use is never taken for another one.
2. A context in which ``adopt`` ran on this thread holds only what this thread may see.
3. ``Thread._context`` is the context that the thread began with. A state that is in there came with the thread, and
   is not shown. Copies of that context hold the same state, so neither ``copy_context().run()`` nor
   ``asyncio.run()`` in the new thread brings it to light.
4. A state that the thread did not begin with was brought here by a ``Context.run`` on this thread: it is shown.
5. One case needs more: ``to_thread`` starts the pool's worker from the very context that it then carries, so the
   first job finds its values in the worker's first context too. There the job itself tells: it is a ``Context.run``
   of a context with that state in it. A job that was merely submitted is none, and sees nothing.

Where that cannot be told (``Thread._context`` is no public name and may go), nothing is shown: of two mistakes, a
value that is missing is the smaller one.
"""

from __future__ import annotations

import functools
import sys
from contextvars import Context, ContextVar, copy_context
from threading import current_thread, local
from typing import TYPE_CHECKING, Any

from ._state import OwnedState

if TYPE_CHECKING:
    from types import FrameType

CONTEXT_IS_INHERITED = bool(getattr(sys.flags, "thread_inherit_context", False))


class Home:
    """Stands for one thread in the states that it sets; lives as long as the thread or one of those states."""

    __slots__ = ("__weakref__",)


class _Here(local):
    home: Home

    def __init__(self) -> None:
        self.home = Home()


here = _Here()

# The home of the thread that may see all that this context holds.
_adopted: ContextVar[Home] = ContextVar("asgi_local.adopted")


def adopt() -> None:
    """See ``asgi_local.lowlevel.adopt``."""
    _adopted.set(here.home)


def disown() -> None:
    """See ``asgi_local.lowlevel.disown``."""
    if _adopted.get(None) is here.home:
        return
    for var, state in copy_context().items():
        if type(state) is OwnedState and state.home is not here.home and not _is_carried(var, state):
            var.set(None)
    # From here on only this thread's own states and those that asgi-sync adopts can come into this context.
    _adopted.set(here.home)


def visible(var: ContextVar[OwnedState | None]) -> OwnedState | None:
    """Return what the current context holds for a Local, if this thread may see it."""
    disown()
    return var.get(None)


def _is_carried(var: ContextVar[Any], state: OwnedState) -> bool:
    try:
        first = current_thread()._context  # type: ignore[attr-defined]  # from 3.14, not in typeshed
    except AttributeError:
        return False
    if first is None:
        # The main thread, or one that the threading module did not start: it began with an empty context.
        return True
    if first.get(var) is not state:
        return True
    job = _context_of_pool_job()
    return job is not None and job.get(var) is state


def _context_of_pool_job() -> Context | None:
    """Return the context that this ``ThreadPoolExecutor`` worker was told to run its present job in, if any."""
    pool = sys.modules.get("concurrent.futures.thread")
    run_job = getattr(getattr(pool, "WorkerContext", None), "run", None)
    code = getattr(run_job, "__code__", None)
    if code is None:
        return None
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        if frame.f_code is code:
            return _context_to_run_in(frame.f_locals.get("fn"))
        frame = frame.f_back
    return None


def _context_to_run_in(job: object) -> Context | None:
    function = job.func if isinstance(job, functools.partial) else job
    context = getattr(function, "__self__", None)
    return context if isinstance(context, Context) and function == context.run else None
