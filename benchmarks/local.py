"""Local: get, set, delete, missing and hasattr, in sync code and in a task, both kinds."""

from __future__ import annotations

import threading
import time
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from harness import Bench, Subject, coroutine, load_peer, statement

from asgi_local import Local

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MODES = "pinned"

OPERATIONS = {
    "get": "local.x",
    "set": "local.x = 1",
    "set, one of five": "local.b = 1",
    "set and delete": "local.y = 1; del local.y",
    "missing, with default": "getattr(local, 'nothing', None)",
    "hasattr, there": "hasattr(local, 'x')",
    "hasattr, not there": "hasattr(local, 'nothing')",
}
# The same for a bare ContextVar, which has one value and cannot be deleted.
OF_VARIABLE = {"get": "var.get()", "set": "var.set(1)", "missing, with default": "unset.get(None)"}


def prepare(local: Any, operation: str) -> None:
    names = "abcde" if operation == "set, one of five" else "x"
    for name in names:
        setattr(local, name, 1)


def in_sync_code(source: str, local: Any, operation: str) -> Subject:
    prepare(local, operation)
    return statement(source, {"local": local}, timer=time.thread_time)


def in_a_task(source: str, local: Any, operation: str) -> Subject:
    async def measure(n: int) -> float:
        prepare(local, operation)
        return statement(source, {"local": local}, timer=time.thread_time)(n)

    return coroutine(measure)


def of_variable(source: str) -> Subject:
    var: ContextVar[int] = ContextVar("var")
    var.set(1)
    return statement(source, {"var": var, "unset": ContextVar("unset")}, timer=time.thread_time)


def run(bench: Bench) -> None:
    asgiref = load_peer("asgiref").local.Local
    asgire = load_peer("asgire").local.Local
    werkzeug = load_peer("werkzeug").Local
    assert len({Local, asgiref, asgire, werkzeug}) == 4, "the peers are not four different classes"

    anywhere: Mapping[str, Callable[[], Any]] = {
        "asgi-local": Local,
        "asgiref": asgiref,
        "asgire": asgire,
        "werkzeug": werkzeug,
        "threading.local": threading.local,
    }
    critical: Mapping[str, Callable[[], Any]] = {
        "asgi-local": lambda: Local(thread_critical=True),
        "asgiref": lambda: asgiref(thread_critical=True),
        "asgire": lambda: asgire(thread_critical=True),
        "threading.local": threading.local,
    }
    for kind, makers in (("", anywhere), ("thread-critical ", critical)):
        for place, subject in (("sync", in_sync_code), ("task", in_a_task)):
            for operation, source in OPERATIONS.items():
                subjects = {name: subject(source, make(), operation) for name, make in makers.items()}
                if not kind and operation in OF_VARIABLE:
                    subjects["ContextVar"] = of_variable(OF_VARIABLE[operation])
                bench.compare(f"{kind}{place}: {operation}", subjects)
