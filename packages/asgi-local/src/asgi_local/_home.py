"""Whose values are these? Only asked where a new thread starts with a copy of its parent's context.

``sys.flags.thread_inherit_context`` (Python 3.14, on by default in free-threaded builds) gives every
``threading.Thread`` a copy of the context that called ``start()``. A Local is private to its thread, so
what came that way must not be seen. But a context that somebody *carries* to another thread on purpose
(``asyncio.to_thread``, ``loop.run_in_executor(None, context.run, f)``, asgi-sync) must bring its values.
Both look the same from inside: a context with values that another thread put there. What can be known, and
what follows from it:

1. Every state names its *home*, an object of the thread that set it. The operating system uses a thread's
   id again as soon as the thread has ended; an object that is in use is never taken for another one.
2. A context in which ``adopt`` ran on this thread holds only what this thread may see.
3. ``Thread._context`` is the context that the thread began with. A state that is in there came with the
   thread, and is not shown. Copies of that context hold the same state, so neither
   ``copy_context().run()`` nor ``asyncio.run()`` in the new thread brings it to light.
4. A state that the thread did not begin with was brought here by a ``Context.run`` on this thread: it is
   shown.
5. One case needs more: ``to_thread`` starts the pool's worker from the very context that it then carries,
   so the first job finds its values in the worker's first context too. There the job itself tells: it is a
   ``Context.run`` of a context with that state in it. A job that was merely submitted is none, and sees
   nothing.
6. A thread that began with a state and never looked has it in its context still, and may hand it on with
   ``to_thread`` from a loop of its own. Who handed a context over is not known. So where such an *heir* runs
   an event loop just now, and nothing says that the heir was given the state on purpose, it is not shown.
   A ``to_thread`` of the state's rightful owner may miss it then: of two mistakes, a value that is missing is
   the smaller one.

Where all that cannot be told (``Thread._context`` is no public name and may go), nothing is shown either.
"""

from __future__ import annotations

import functools
import sys
import weakref
from contextvars import Context, ContextVar, copy_context
from threading import Thread, current_thread, local
from threading import enumerate as enumerate_threads
from typing import TYPE_CHECKING, Any

from ._state import OwnedState

if TYPE_CHECKING:
    from types import FrameType

# Whether a new thread starts with a copy of its parent's context; fixed for the life of the interpreter.
CONTEXT_IS_INHERITED = bool(getattr(sys.flags, "thread_inherit_context", False))


class Home:
    """Stands for one thread in the states that it sets; lives as long as the thread or one of them."""

    __slots__ = ("__weakref__", "thread")

    def __init__(self) -> None:
        # Weak: a Thread object keeps what it was given to run, and states may live long.
        self.thread = weakref.ref(current_thread())


class _Here(local):
    home: Home

    def __init__(self) -> None:
        self.home = Home()


here = _Here()

# The home of the thread that may see all that this context holds.
_adopted: ContextVar[Home] = ContextVar("asgi_local.adopted")


def adopt() -> None:
    """Make all that Locals hold in the current context this thread's own.

    For the thread that receives a context, inside it; and for the sender, after it wrote changes back. Takes
    the same short time however many Locals there are. Not needed where ``CONTEXT_IS_INHERITED`` is false.

    >>> from asgi_local.lowlevel import adopt
    >>> adopt()
    """
    _adopted.set(here.home)


def disown() -> None:
    """Take out of the current context what Locals of other threads left in it.

    For the thread that is about to send its context, before it copies it. The first time in a context it
    looks at all context variables, after that at one. Not needed where ``CONTEXT_IS_INHERITED`` is false.

    >>> from asgi_local.lowlevel import disown
    >>> disown()
    """
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
    thread = current_thread()
    try:
        first = _first_context(thread)
    except AttributeError:
        return False
    # None: the main thread, or one that the threading module did not start, began with an empty context.
    if first is not None and first.get(var) is state and not _job_brings(var, state, sys._getframe()):
        return False
    return not any(
        heir is not thread and _may_pass_on(heir, var, state, frame) for heir, frame in _threads_and_frames()
    )


def _first_context(thread: Any) -> Context | None:
    context: Context | None = thread._context  # from 3.14, and not in typeshed
    return context


def _threads_and_frames() -> list[tuple[Thread, FrameType | None]]:
    frames = sys._current_frames()
    return [(thread, frames.get(thread.ident or 0)) for thread in enumerate_threads()]


def _may_pass_on(heir: Thread, var: ContextVar[Any], state: OwnedState, frame: FrameType | None) -> bool:
    """Say whether *heir* has *state* by inheritance alone, and an event loop to hand it on with."""
    first = _first_context(heir)
    if first is None or first.get(var) is not state or state.home.thread() is heir:
        return False
    # The last thread that vouched for the context, this one or the one that the heir began with.
    for voucher in (_adopted.get(None), first.get(_adopted)):
        if voucher is not None and voucher.thread() is heir:
            return False
    if _job_brings(var, state, frame):
        return False
    while frame is not None:
        if (frame.f_globals.get("__name__"), frame.f_code.co_name) in _RUNS_A_LOOP:
            return True
        frame = frame.f_back
    return False


# asyncio's own loop, and the runner that has loops of other makes run.
_RUNS_A_LOOP = {("asyncio.base_events", "run_forever"), ("asyncio.runners", "run")}


def _job_brings(var: ContextVar[Any], state: OwnedState, frame: FrameType | None) -> bool:
    """Say whether a ``ThreadPoolExecutor`` worker at *frame* runs a job in a context with *state* in it."""
    pool = sys.modules.get("concurrent.futures.thread")
    run_job = getattr(getattr(pool, "WorkerContext", None), "run", None)
    code = getattr(run_job, "__code__", None)
    while frame is not None and code is not None:
        if frame.f_code is code:
            context = _context_of(frame.f_locals.get("fn"))
            return context is not None and context.get(var) is state
        frame = frame.f_back
    return False


def _context_of(job: object) -> Context | None:
    """Return the context that *job* is a ``Context.run`` of, with or without arguments."""
    function = job.func if isinstance(job, functools.partial) else job
    context = getattr(function, "__self__", None)
    return context if isinstance(context, Context) and function == context.run else None
