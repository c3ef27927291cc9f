"""What asgi-sync is offered. What it is good for is in test_home.py."""

from __future__ import annotations

import contextvars
import sys

from asgi_local import Local, lowlevel


def test_flag() -> None:
    assert lowlevel.CONTEXT_IS_INHERITED is bool(getattr(sys.flags, "thread_inherit_context", False))


def test_classes() -> None:
    assert issubclass(lowlevel.DefaultLocal, Local)
    assert issubclass(lowlevel.ThreadCriticalLocal, Local)


def test_adopt_and_disown_leave_own_values_and_foreign_variables() -> None:
    var: contextvars.ContextVar[int] = contextvars.ContextVar("var")
    local = Local()

    def run() -> None:
        var.set(1)
        local.x = 1
        for _ in range(2):
            lowlevel.disown()
            lowlevel.adopt()
            assert var.get() == 1
            assert vars(local) == {"x": 1}

    contextvars.copy_context().run(run)
    contextvars.Context().run(run)


def test_adopting_again_and_again_adds_nothing() -> None:
    def run() -> int:
        lowlevel.disown()
        lowlevel.adopt()
        return len(contextvars.copy_context())

    context = contextvars.Context()
    assert [context.run(run) for _ in range(3)] == [1, 1, 1]
