"""Whose values are these? Only asked where a new thread starts with a copy of its parent's context.

``sys.flags.thread_inherit_context`` (Python 3.14, on by default in free-threaded builds) gives every
``threading.Thread`` a copy of the context that called ``start()``. A Local is private to its thread, so
what came that way must not be seen. But a context that somebody *carries* to another thread on purpose
(``asyncio.to_thread``, ``loop.run_in_executor(None, context.run, f)``, asgi-sync) must bring its values.
Both look the same from inside: a context with values that another thread put there. What can be known, and
what follows from it:

1. Every state names its *home*, an object of the thread that set it. The operating system uses a thread's
   id again as soon as the thread has ended; an object that is in use is never taken for another one. Whether
   a home is this thread's, a lock tells faster than ``threading.local``: the thread takes one, and never
   gives it back. Before the thread ends, its home stops to ask the lock.
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
from threading import RLock, Thread, _DummyThread, current_thread, get_ident, local
from threading import enumerate as enumerate_threads
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeAlias, TypeGuard, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import FrameType

    from ._state import State

    # What a context holds for a Local.
    Entry: TypeAlias = tuple["Home", State]

# Whether a new thread starts with a copy of its parent's context; fixed for the life of the interpreter.
CONTEXT_IS_INHERITED = bool(getattr(sys.flags, "thread_inherit_context", False))


# A thread that has ended, and one that the threading module did not start. Called, it gives False.
_ask_no_lock: Callable[[], bool] = bool


class Home:
    """Stands for one thread in the states that it sets; lives as long as the thread or one of them."""

    __slots__ = ("__weakref__", "is_here", "thread")

    # Says that this is the present thread's home. Where it denies that, compare with here.home: it may be so.
    is_here: Callable[[], bool]
    thread: Callable[[], Thread | None]

    def __init__(self) -> None:
        ident = get_ident()
        # Not current_thread(), which enters a thread that is ending, or that threading did not start, into its
        # books. In such a one is_here is not made: finalisers that run late come here after _Presence.
        threads = (thread for thread in enumerate_threads() if thread.ident == ident)
        thread = next(threads, None)
        # Weak: a Thread object keeps what it was given to run, and states may live long.
        self.thread = _no_thread if thread is None else weakref.ref(thread)
        if thread is None or isinstance(thread, _DummyThread):
            self.is_here = _ask_no_lock
        else:
            lock: Any = RLock()
            lock.acquire()
            # Such a lock knows whose it is: threading.Condition asks it so. That is one call of C code.
            self.is_here = lock._is_owned


def _no_thread() -> None:
    """Stand for a weak reference to nothing."""


class _Presence:
    """Ends with its thread, on the thread itself: before the operating system can use the thread's id again."""

    __slots__ = ("_home",)

    def __init__(self, home: Home) -> None:
        self._home = home

    def __del__(self, is_here: Callable[[], bool] = _ask_no_lock) -> None:
        self._home.is_here = is_here


class _Here(local):
    home: Home

    def __init__(self) -> None:
        self.home = Home()
        self.presence = _Presence(self.home)


here = _Here()

_NOTHING: Mapping[str, Any] = MappingProxyType[str, Any]({})

# The home of what is taken out of a context.
_NOBODY = object.__new__(Home)
_NOBODY.is_here = _ask_no_lock

# The home of the thread that may see all that this context holds.
_adopted: ContextVar[Home] = ContextVar("asgi_local.adopted")


def adopt() -> None:
    """Make all that Locals hold in the current context this thread's own.

    For the thread that receives a context, inside it; and for the sender, after it wrote changes back into a
    context that it had called ``disown`` in. Takes the same short time however many Locals there are. Not
    needed where ``CONTEXT_IS_INHERITED`` is false.

    >>> from asgi_local.lowlevel import adopt
    >>> adopt()
    """
    _adopted.set(here.home)


def disown() -> None:
    """Take out of the current context what Locals of other threads left in it.

    For the thread that is about to send its context, before it copies it, and before it writes changes back. The
    first time in a context it looks at all context variables, after that at one. Not needed where
    ``CONTEXT_IS_INHERITED`` is false.

    >>> from asgi_local.lowlevel import disown
    >>> disown()
    """
    adopted = _adopted.get(None)
    if adopted is not None and (adopted.is_here() or adopted is here.home):
        return
    mine = here.home
    for var, entry in copy_context().items():
        if _is_entry(entry) and entry[0] not in (mine, _NOBODY) and not _is_carried(var, entry):
            var.set((_NOBODY, _NOTHING))
    # From here on only this thread's own states and those that asgi-sync adopts can come into this context.
    _adopted.set(mine)


def visible(var: ContextVar[Entry]) -> Mapping[str, Any]:
    """Return what the current context holds for a Local, if this thread may see it."""
    disown()
    entry = var.get(None)
    return _NOTHING if entry is None else entry[1]


def _is_entry(value: object) -> TypeGuard[Entry]:
    if type(value) is not tuple:
        return False
    pair = cast("tuple[object, ...]", value)
    return len(pair) == 2 and type(pair[0]) is Home


def _is_carried(var: ContextVar[Any], entry: Entry) -> bool:
    thread = current_thread()
    try:
        first = _first_context(thread)
    except AttributeError:
        return False
    # None: the main thread, or one that the threading module did not start, began with an empty context.
    if first is not None and first.get(var) is entry and not _job_brings(var, entry, sys._getframe()):
        return False
    return not any(
        heir is not thread and _may_pass_on(heir, var, entry, frame) for heir, frame in _threads_and_frames()
    )


def _first_context(thread: Any) -> Context | None:
    context: Context | None = thread._context  # from 3.14, and not in typeshed
    return context


def _threads_and_frames() -> list[tuple[Thread, FrameType | None]]:
    frames = sys._current_frames()
    return [(thread, frames.get(thread.ident or 0)) for thread in enumerate_threads()]


def _may_pass_on(heir: Thread, var: ContextVar[Any], entry: Entry, frame: FrameType | None) -> bool:
    """Say whether *heir* has *entry* by inheritance alone, and an event loop to hand it on with."""
    first = _first_context(heir)
    if first is None or first.get(var) is not entry or entry[0].thread() is heir:
        return False
    # The last thread that vouched for the context, this one or the one that the heir began with.
    for voucher in (_adopted.get(None), first.get(_adopted)):
        if voucher is not None and voucher.thread() is heir:
            return False
    if _job_brings(var, entry, frame):
        return False
    while frame is not None:
        if (frame.f_globals.get("__name__"), frame.f_code.co_name) in _RUNS_A_LOOP:
            return True
        frame = frame.f_back
    return False


# asyncio's own loop, and the runner that has loops of other makes run.
_RUNS_A_LOOP = {("asyncio.base_events", "run_forever"), ("asyncio.runners", "run")}


def _job_brings(var: ContextVar[Any], entry: Entry, frame: FrameType | None) -> bool:
    """Say whether a ``ThreadPoolExecutor`` worker at *frame* runs a job in a context with *entry* in it."""
    pool = sys.modules.get("concurrent.futures.thread")
    run_job = getattr(getattr(pool, "WorkerContext", None), "run", None)
    code = getattr(run_job, "__code__", None)
    while frame is not None and code is not None:
        if frame.f_code is code:
            context = _context_of(frame.f_locals.get("fn"))
            return context is not None and context.get(var) is entry
        frame = frame.f_back
    return False


def _context_of(job: object) -> Context | None:
    """Return the context that *job* is a ``Context.run`` of, with or without arguments."""
    function = job.func if isinstance(job, functools.partial) else job
    context = getattr(function, "__self__", None)
    return context if isinstance(context, Context) and function == context.run else None
