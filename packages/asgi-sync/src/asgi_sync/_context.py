"""Carry context variables to the other side of a bridge and back.

A call travels with a copy of its caller's context. What comes back is the difference: only the variables that the
other side really set are written into the caller's context, so that a change which somebody else made meanwhile is
not undone. Values are compared by identity; no third-party `__eq__` ever runs here.
"""

from __future__ import annotations

import gc
import sysconfig
from contextvars import Context, ContextVar, copy_context
from typing import TYPE_CHECKING, Any, TypeVar

from asgi_local.lowlevel import CONTEXT_IS_INHERITED, TRAVELS, adopt, depart, disown

if TYPE_CHECKING:
    from collections.abc import Callable

R = TypeVar("R")

_MISSING: Any = object()
_referents = gc.get_referents

# In CPython a Context is one pointer to an immutable hash trie: two contexts that share it have the same variables,
# whatever their number. No method tells, but the garbage collector's view of the object does; the trie is its last
# referent. A free-threaded build stops all threads for that look, so there, and where a Context turns out to look
# otherwise, every variable is compared.
_FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
_TRIE = "hamt"


def _trie_is_visible() -> bool:
    context = Context()
    for referents in (_referents(context), context.run(_referents, context)):
        if not referents or type(referents[-1]).__name__ != _TRIE:
            return False
    return _referents(context)[-1] is _referents(context.copy())[-1]


_LOOK_AT_TRIE = not _FREE_THREADED and _trie_is_visible()
# Above this number of variables looking for the changed ones in the trie is cheaper than comparing all of them.
_MANY = 64


def changed_variables(context: Context, baseline: Context) -> list[tuple[ContextVar[Any], Any]]:
    """The variables, with their values, that `context` holds and `baseline` does not hold the same."""
    if _LOOK_AT_TRIE and len(context) > _MANY:
        candidates = _candidates(_referents(context)[-1:], _referents(baseline)[-1:])
        return [
            (variable, context[variable])
            for variable in candidates
            if variable in context and context[variable] is not baseline.get(variable, _MISSING)
        ]
    get = baseline.get
    return [(variable, value) for variable, value in context.items() if get(variable, _MISSING) is not value]


def _candidates(new: list[Any], old: list[Any]) -> set[ContextVar[Any]]:
    """All variables in the nodes of one trie that another one, of which it was made, does not share.

    Setting a variable copies the nodes on the way to it and shares the rest, so this walks a path, not the tree. It
    may name too many variables, never too few: a pair of key and value lies in one node.
    """
    found: set[ContextVar[Any]] = set()
    while new:
        shared = {id(node) for node in old}
        fresh = [node for node in new if id(node) not in shared]
        kept = {id(node) for node in new}
        old = _children([node for node in old if id(node) not in kept])
        children: list[Any] = []
        for node in fresh:
            for referent in _referents(node):
                kind: type = referent.__class__
                if kind is ContextVar:
                    found.add(referent)
                elif kind.__name__.startswith(_TRIE):
                    children.append(referent)
        new = children
    return found


def _children(nodes: list[Any]) -> list[Any]:
    return [
        referent
        for node in nodes
        for referent in _referents(node)
        if type(referent).__name__.startswith(_TRIE)
    ]


def write_back(context: Context, baseline: Context) -> bool:
    """Set here, in the running context, what was set in `context` since it was as `baseline`.

    Returns whether anything was.
    """
    if _LOOK_AT_TRIE and _referents(context)[-1] is _referents(baseline)[-1]:
        return False
    changes = changed_variables(context, baseline)
    if changes and CONTEXT_IS_INHERITED:
        disown()  # what this thread merely inherited is not to be adopted with what comes back
    for variable, value in changes:
        variable.set(value)
    if changes and CONTEXT_IS_INHERITED:
        # What a Local holds came here on purpose, not because a thread inherits its parent's context.
        adopt()
    return bool(changes)


def carried_copy() -> Context:
    """A copy of the running context that shows on any thread what a Local holds here."""
    context = copy_context()
    if not TRAVELS.get():
        context.run(depart)
    return context


def arrived() -> Context:
    """To be called inside a carried context, on the thread that it was carried to: the baseline to compare with."""
    if CONTEXT_IS_INHERITED:
        adopt()
    return copy_context()


class CarriedContext:
    """A copy of a task's context on its way to one thread and back. To be made in the task."""

    __slots__ = ("_baseline", "_context")

    def __init__(self) -> None:
        self._context = carried_copy()
        self._baseline: Context = self._context.copy()

    def run(self, func: Callable[..., R], *args: Any) -> R:
        """Call `func(*args)` in it, on the thread. Once."""
        if CONTEXT_IS_INHERITED:
            self._baseline = self._context.run(arrived)
        return self._context.run(func, *args)

    def bring_back(self) -> None:
        """Set in the running context, the task's, what was set on the thread."""
        write_back(self._context, self._baseline)
