"""How to call an application: found out once, not for every instance."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any

from ._callability import guarantee_single_callable

Caller = Callable[[Any, Any, Any], Awaitable[Any]]


def application_caller(application: object) -> Caller:
    """Return a function that calls *application* with scope, receive and send the way that it can be called.

    An application that takes the keywords ``scope``, ``receive`` and ``send`` gets them, as from asgiref's
    server. Any other is called positionally: the specification leaves the names of the parameters to the
    application.
    """
    if not callable(application):
        raise TypeError(f"the application must be callable, not {application!r}")
    single = guarantee_single_callable(application)
    if not _takes_keywords(single):
        return single

    def call(scope: Any, receive: Any, send: Any) -> Awaitable[Any]:
        awaitable: Awaitable[Any] = single(scope=scope, receive=receive, send=send)
        return awaitable

    return call


def _takes_keywords(application: Callable[..., Any]) -> bool:
    try:
        inspect.signature(application).bind(scope=None, receive=None, send=None)
    except (TypeError, ValueError):
        # Other names, or an extension function that shows no signature.
        return False
    return True
