"""Whether the bridges work on this machine, and what a crossing costs here."""

from __future__ import annotations

import asyncio
import statistics
import sys
import sysconfig
import threading
import time
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ._decorators import async_to_sync, sync_to_async
from ._scopes import ThreadSensitiveContext
from ._worker import pool

if TYPE_CHECKING:
    from collections.abc import Callable

#: Seconds after which a check that has not ended has failed.
PATIENCE = 30.0

_variable: ContextVar[str] = ContextVar("asgi_sync.self_check", default="unset")


def flags() -> dict[str, str]:
    """What about this interpreter matters to crossings."""
    gil: Any = getattr(sys, "_is_gil_enabled", lambda: True)
    inherits = getattr(sys.flags, "thread_inherit_context", None)
    return {
        "interpreter": f"{sys.implementation.name} {sys.version.split()[0]} on {sys.platform}",
        "free-threaded": (
            ("yes" if not gil() else "built so, but the GIL is enabled")
            if sysconfig.get_config_var("Py_GIL_DISABLED")
            else "no"
        ),
        "thread_inherit_context": "not in this version"
        if inherits is None
        else ("on" if inherits else "off"),
        "event loop": _loop_type(),
        "gevent": "has replaced threads" if _is_patched_by_gevent() else "has not replaced threads",
        "idle threads end after": f"{pool.idle_time:g} s",
    }


def _loop_type() -> str:
    with asyncio.Runner() as runner:
        kind = type(runner.get_loop())
    return f"{kind.__module__}.{kind.__qualname__}"


def _is_patched_by_gevent() -> bool:
    monkey: Any = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched("threading"))


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What came of one check: `problem` is `None` if all is well."""

    title: str
    problem: str | None


def run_checks() -> list[CheckResult]:
    """Run all checks, each in a new thread and for at most `PATIENCE` seconds."""
    return [CheckResult(title, _problem_of(check)) for title, check in CHECKS.items()]


def _problem_of(check: Callable[[], object]) -> str | None:
    problems: list[str | None] = []

    def run() -> None:
        try:
            check()
        except BaseException as error:
            problems.append(f"{type(error).__name__}: {error}")
        else:
            problems.append(None)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    return problems[0] if problems else f"it has not ended after {PATIENCE:g} s"


class _WrongError(Exception):
    """A check has found something else than it should."""


def _expect(what: str, found: object, wanted: object) -> None:
    if found != wanted:
        raise _WrongError(f"{what}: {found!r} instead of {wanted!r}")


def _add(one: int, other: int) -> int:
    return one + other


async def _aadd(one: int, other: int) -> int:
    await asyncio.sleep(0)
    return one + other


def _raise() -> None:
    raise LookupError("raised on purpose")


def _await_sync_code() -> None:
    async def main() -> None:
        _expect("the result", await sync_to_async(_add)(40, other=2), 42)
        here, there = threading.get_ident(), await sync_to_async(threading.get_ident)()
        _expect("whether it ran on the event loop's thread", here == there, False)
        _expect("the thread of the next call", await sync_to_async(threading.get_ident)(), there)

    asyncio.run(main())


def _call_async_code() -> None:
    _expect("the result", async_to_sync(_aadd)(40, other=2), 42)


def _nested() -> None:
    async def innermost() -> int:
        return await sync_to_async(threading.get_ident)()

    def middle() -> tuple[int, int]:
        return threading.get_ident(), async_to_sync(innermost)()

    async def outer() -> tuple[int, int]:
        return await sync_to_async(middle)()

    outermost, further_in = async_to_sync(outer)()
    _expect("the thread of the sync code in the middle", outermost, threading.get_ident())
    _expect("the thread of the innermost sync code", further_in, threading.get_ident())


def _exceptions() -> None:
    try:
        async_to_sync(sync_to_async(_raise))()
    except LookupError as error:
        _expect("the message", str(error), "raised on purpose")
    else:
        raise _WrongError("nothing was raised")


def _context_variables() -> None:
    def work() -> str:
        before = _variable.get()
        _variable.set("set by sync code")
        return before

    async def main() -> str:
        _variable.set("set by the caller")
        return await sync_to_async(work)()

    _expect("what the called code sees", async_to_sync(main)(), "set by the caller")
    _expect("what comes back", _variable.get(), "set by sync code")


def _threads_of_contexts() -> None:
    async def request(barrier: asyncio.Barrier) -> int:
        async with ThreadSensitiveContext():
            ident = await sync_to_async(threading.get_ident)()
            await barrier.wait()
            return ident

    async def main() -> list[int]:
        barrier = asyncio.Barrier(3)
        return await asyncio.gather(*(request(barrier) for _ in range(3)))

    _expect("how many threads three contexts have", len(set(asyncio.run(main()))), 3)


def _cancellation() -> None:
    async def main() -> bool:
        entered, leave = threading.Event(), threading.Event()

        def work() -> None:
            entered.set()
            leave.wait(PATIENCE)

        task = asyncio.create_task(sync_to_async(work)())
        await asyncio.to_thread(entered.wait, PATIENCE)
        task.cancel()
        await asyncio.wait((task,), timeout=PATIENCE)
        leave.set()
        return task.cancelled()

    _expect("whether a cancelled task ends while its sync code runs", asyncio.run(main()), True)


CHECKS: dict[str, Callable[[], object]] = {
    "sync_to_async runs sync code on its thread": _await_sync_code,
    "async_to_sync runs async code in a loop": _call_async_code,
    "both nested come back to the thread of the outermost sync code": _nested,
    "exceptions cross": _exceptions,
    "context variables cross, and come back": _context_variables,
    "contexts have threads of their own": _threads_of_contexts,
    "a cancelled task does not wait for its sync code": _cancellation,
}


def costs(seconds: float) -> dict[str, float]:
    """The median cost of one crossing of each kind, in seconds, each measured for so many seconds."""

    async def awaited(call: Callable[[], Any]) -> float:
        await call()  # the first one starts threads
        samples: list[float] = []
        end = time.perf_counter() + seconds
        while time.perf_counter() < end or not samples:
            begin = time.perf_counter()
            await call()
            samples.append(time.perf_counter() - begin)
        return statistics.median(samples)

    def called(call: Callable[[], Any]) -> float:
        call()
        samples: list[float] = []
        end = time.perf_counter() + seconds
        while time.perf_counter() < end or not samples:
            begin = time.perf_counter()
            call()
            samples.append(time.perf_counter() - begin)
        return statistics.median(samples)

    async def nothing() -> None: ...

    def nothing_sync() -> None: ...

    return {
        "await sync_to_async(f)()": asyncio.run(awaited(sync_to_async(nothing_sync))),
        "await sync_to_async(f, thread_sensitive=False)()": asyncio.run(
            awaited(sync_to_async(nothing_sync, thread_sensitive=False))
        ),
        "async_to_sync(f)()": called(async_to_sync(nothing)),
        "await sync_to_async(async_to_sync(f))()": asyncio.run(
            awaited(sync_to_async(async_to_sync(nothing)))
        ),
    }
