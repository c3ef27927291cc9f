"""Context variables of code that is resumed again and again: a generator, the block of a context manager.

All of it runs in one context, so that `ContextVar.reset` with a token from an earlier step works. Before each
step what its caller changed since the last one comes in, and after it what the step changed goes out to its
caller.
"""

from __future__ import annotations

from contextvars import Context, ContextVar, Token, copy_context
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from asgi_local.lowlevel import CONTEXT_IS_INHERITED, adopt, disown

from ._context import carried_copy, changed_variables, write_back

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
R = TypeVar("R")


class LastingContext:
    """A copy of the running context, kept in step with those who resume what runs in it, one at a time."""

    def __init__(self) -> None:
        self.context = carried_copy()
        self._seen = self.context.copy()
        self._before = self._seen
        self._changes: list[tuple[ContextVar[Any], Any]] = []
        #: The variables that went out and were not set at all before, by the caller's token.
        self._set_out: dict[ContextVar[Any], Token[Any]] = {}
        self._unset: list[ContextVar[Any]] = []

    # Inside the context

    def arrive(self, callers: Context) -> None:
        """A step begins, for a caller with these variables."""
        if CONTEXT_IS_INHERITED:
            adopt()
        write_back(callers, self._seen)
        self._seen = callers
        self._before = copy_context()

    def depart(self) -> None:
        """The step has ended."""
        now = copy_context()
        self._changes = changed_variables(now, self._before)
        self._unset = [variable for variable in self._set_out if variable not in now]

    # Outside it

    def run(self, callers: Context, func: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call `func` in the context, as one step."""
        __traceback_hide__ = True
        run = self.context.run
        run(self.arrive, callers)
        try:
            return run(func, *args, **kwargs)
        finally:
            run(self.depart)
            del args, kwargs  # the frames of what is raised lead here

    def hand_out(self) -> None:
        """In the caller's context: set what the step set, unset what it set back to nothing."""
        changes, self._changes = self._changes, []
        if changes and CONTEXT_IS_INHERITED:
            disown()
        for variable, value in changes:
            token = variable.set(value)
            if token.old_value is Token.MISSING:
                self._set_out[variable] = token
        unset, self._unset = self._unset, []
        for variable in unset:
            try:
                variable.reset(self._set_out.pop(variable))
            except (ValueError, RuntimeError):
                pass  # it was set in the context of another caller, where it stays
        if changes or unset:
            self._seen = copy_context()
            if CONTEXT_IS_INHERITED:
                adopt()
