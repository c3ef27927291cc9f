"""Values that were set in plain sync code: they stay on their thread, as those of ``threading.local`` do.

Where a new thread begins with an empty context, this is what keeps a value from a copy of the context that
another plain thread runs. Values travel with a context only if they were set in a task, or if the
context itself is under way: ``depart`` says so.
"""

from __future__ import annotations

import threading
from contextvars import ContextVar, copy_context
from types import MethodType
from typing import TYPE_CHECKING, Any

from ._base import Local
from ._home import CONTEXT_IS_INHERITED, disown

if TYPE_CHECKING:
    from collections.abc import Callable

# Whether what is set in this context goes where the context goes.
TRAVELS: ContextVar[bool] = ContextVar("asgi_local.travels", default=False)

# Whether a Bound was ever put into this context.
_has_bound: ContextVar[bool] = ContextVar("asgi_local.has_bound", default=False)


class Bound(threading.local, Local):  # type: ignore[misc]  # final is for users
    """What one thread set in sync code, in one context. Any other thread finds it empty, and leaves it so.

    A context holds it as ``MethodType(getattr, bound)``, one such method for each set. Contexts are
    copied without any notice to us, but a copy holds the same method: as long as the method is in no other
    context, the thread may change what is here, and else it has to make a Bound of its own.

    A Local, so that ``local.__doc__`` and the like, which are looked up here, give what a Local gives.
    """

    # A slot, other than an attribute, is the same for all threads.
    __slots__ = ("__asgi_local_home__", "__asgi_local_methods__", "__asgi_local_travel__")

    # The attributes' dict, as the thread that they belong to has it. None once the Local has gone.
    __asgi_local_home__: dict[str, Any] | None
    # Those of the lane.
    __asgi_local_methods__: dict[str, Any]
    # Makes of values what a variable holds of a state that travels.
    __asgi_local_travel__: Callable[[dict[str, Any]], Any]

    # A Python function there would run again in each thread that looks.
    __init__: Any = object.__init__

    def __setattr__(self, name: str, value: Any) -> None:
        self.__asgi_local_methods__["__setattr__"](self, name, value)

    def __delattr__(self, name: str) -> None:
        self.__asgi_local_methods__["__delattr__"](self, name)

    def __asgi_local_values__(self) -> dict[str, Any]:
        return dict(self.__dict__)

    def __asgi_local_clear__(self) -> None:
        home = self.__asgi_local_home__
        # The next Local that has this variable finds a Bound that is nobody's, and makes its own.
        set_slot(self, "__asgi_local_home__", None)
        if home is not None:
            home.clear()


Bound.__name__ = Bound.__qualname__ = "Local"
Bound.__doc__ = Local.__doc__

set_slot: Any = threading.local.__setattr__


def bind(values: dict[str, Any], methods: dict[str, Any], travel: Callable[[dict[str, Any]], Any]) -> Any:
    """Return a Bound of this thread with *values*."""
    # Local.__new__, which a type checker sees, is not the one that runs: that of threading.local is first.
    bound: Any = Bound()
    home = bound.__dict__
    home.update(values)
    set_slot(bound, "__asgi_local_home__", home)
    set_slot(bound, "__asgi_local_methods__", methods)
    set_slot(bound, "__asgi_local_travel__", travel)
    _has_bound.set(True)
    return bound


def depart() -> None:
    """Let go with the current context what this thread's sync code set in it, and what is set from now on.

    For the side that sends a context: in the context, on the thread that it comes from. What other threads
    left in it stays behind. After the first time in a context, and in one that holds nothing that sync
    code set, it takes a short time that does not depend on how many Locals there are.

    >>> import threading
    >>> from contextvars import copy_context
    >>> from asgi_local import Local
    >>> from asgi_local.lowlevel import adopt, depart
    >>> request = Local()
    >>> request.user = "ada"
    >>> context = copy_context()
    >>> context.run(depart)
    >>> def receive():
    ...     adopt()
    ...     print(request.user)
    >>> thread = threading.Thread(target=context.run, args=[receive])
    >>> thread.start(); thread.join()
    ada
    """
    if CONTEXT_IS_INHERITED:
        disown()
        return
    if TRAVELS.get():
        return
    if _has_bound.get():
        for var, reader in copy_context().items():
            if type(reader) is MethodType and type(reader.__self__) is Bound:
                bound: Any = reader.__self__
                values = bound.__dict__
                if values:
                    var.set(bound.__asgi_local_travel__(values))
    TRAVELS.set(True)
