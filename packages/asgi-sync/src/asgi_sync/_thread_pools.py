"""The standard library's thread pool, entered where its own `submit` puts the work.

`submit` makes a future with a lock and a condition, and asyncio hangs a second one on it; nobody would look at either,
and together they cost as much as the crossing itself. The names with an underscore are CPython's, the same from 3.11 to
3.15; any other version, any subclass and any pool whose `submit` was replaced is asked through the front door.
"""

from __future__ import annotations

import asyncio
import gc
import sys
from concurrent.futures import Executor, ThreadPoolExecutor
from concurrent.futures import thread as _module
from typing import TYPE_CHECKING, Any

from ._home import home_of_this_thread

if TYPE_CHECKING:
    from ._call import Call

_SUBMIT: Any = vars(ThreadPoolExecutor)["submit"]
# Instrumentation may have replaced it before this module was imported.
_IS_KNOWN = sys.version_info < (3, 16) and getattr(_SUBMIT, "__globals__", None) is vars(_module)
_threads: Any = _module


class _Item:
    """What the pool's threads take from its queue: they call `run` and, when the pool ends early, tell `future`."""

    __slots__ = ("_call",)

    def __init__(self, call: Call) -> None:
        self._call = call

    def run(self, _context: object = None) -> None:
        self._call.run(home_of_this_thread())

    @property
    def future(self) -> _Item:
        return self

    def cancel(self) -> None:
        self._call.fail(asyncio.CancelledError())

    def set_exception(self, error: BaseException) -> None:
        self._call.fail(error)


def default_executor(loop: Any) -> Any:
    """The executor behind `run_in_executor(None, ...)`; `None` if there is none yet, or the loop does not tell."""
    try:
        return loop._default_executor
    except AttributeError:
        uvloop: Any = sys.modules.get("uvloop")
        return None if uvloop is None or not isinstance(loop, uvloop.Loop) else _executor_of_uvloop(loop)


def _executor_of_uvloop(loop: Any) -> Any:
    """uvloop holds it where only the garbage collector can look. Takes a microsecond."""
    ours = getattr(loop, "__dict__", {}).values()  # what others have hung on the loop is there, too
    for referent in gc.get_referents(loop):
        if isinstance(referent, Executor) and all(referent is not each for each in ours):
            return referent
    return None


def can_enter(executor: Any) -> bool:
    """Whether it is the standard library's thread pool, as it is there."""
    return (
        type(executor) is ThreadPoolExecutor
        and ThreadPoolExecutor.submit is _SUBMIT
        and _IS_KNOWN
        and "submit" not in executor.__dict__
    )


def enter(executor: Any, call: Call) -> bool:
    """Have the pool run the call; `False` if it takes no more work, and its `submit` would say why."""
    with executor._shutdown_lock, _threads._global_shutdown_lock:
        if executor._shutdown or executor._broken or _threads._shutdown:
            return False
        executor._work_queue.put(_Item(call))
        executor._adjust_thread_count()
    return True
