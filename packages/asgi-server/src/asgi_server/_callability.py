"""Which of the two calling styles of ASGI an application has, and how to bring the old one into the new."""

from __future__ import annotations

import asyncio
import inspect
import sys
from collections.abc import Callable
from typing import Any, TypeVar, cast

F = TypeVar("F", bound=Callable[..., Any])

if sys.version_info >= (3, 12):
    from inspect import iscoroutinefunction as iscoroutinefunction
    from inspect import markcoroutinefunction as markcoroutinefunction
else:
    # inspect learnt to see marks in 3.12. Before that asyncio's own mark is the one that everybody agrees on.
    def iscoroutinefunction(func: object) -> bool:
        """Tell whether *func* is a coroutine function or marked as one."""
        return asyncio.iscoroutinefunction(func)  # pyright: ignore[reportDeprecated]  # not in 3.11

    def markcoroutinefunction(func: F) -> F:
        """Make *func* pass :func:`iscoroutinefunction`; returns *func* itself."""
        func._is_coroutine = asyncio.coroutines._is_coroutine  # type: ignore[attr-defined]  # 3.11's private mark
        return func


def is_double_callable(application: object) -> bool:
    """Tell whether *application* has the style of ASGI 2: called with the scope, then with the channels.

    The marks ``_asgi_single_callable`` and ``_asgi_double_callable``, when true, decide. Otherwise a class is
    taken for an ASGI 2 application (creating it with the scope is the first call), and anything else is one
    unless it is a coroutine function or has a coroutine function as ``__call__``.

    Source: the ASGI specification, section "Legacy Applications" (ASGI 2.0).

    >>> async def application(scope, receive, send): ...
    >>> is_double_callable(application)
    False
    >>> is_double_callable(lambda scope: application)
    True
    """
    if getattr(application, "_asgi_single_callable", False):
        return False
    if getattr(application, "_asgi_double_callable", False):
        return True
    if inspect.isclass(application):
        return True
    # The type of a function has a __call__ too; it is never a coroutine function, so this only finds objects.
    if iscoroutinefunction(getattr(application, "__call__", None)):  # noqa: B004  # the method itself is looked at
        return False
    return not iscoroutinefunction(application)


def double_to_single_callable(application: Callable[[Any], Any]) -> Callable[[Any, Any, Any], Any]:
    """Turn an ASGI 2 application into an ASGI 3 application.

    The result is a coroutine function with the parameters ``scope``, ``receive`` and ``send``: it calls
    *application* with the scope, then awaits what came back, called with the two channels. It runs on the
    loop that awaits it. Errors of either call reach the caller unchanged.

    >>> import asyncio
    >>> def old(scope):
    ...     async def instance(receive, send):
    ...         await send({"type": "greeting", "of": scope["type"]})
    ...     return instance
    >>> async def send(message):
    ...     print(message)
    >>> asyncio.run(double_to_single_callable(old)({"type": "demo"}, None, send))
    {'type': 'greeting', 'of': 'demo'}
    """

    async def single_callable(scope: Any, receive: Any, send: Any) -> Any:
        instance = application(scope)
        return await instance(receive, send)

    return single_callable


def guarantee_single_callable(application: Callable[..., Any]) -> Callable[..., Any]:
    """Return *application* if it is an ASGI 3 application, or wrap it if it is an ASGI 2 application.

    >>> async def application(scope, receive, send): ...
    >>> guarantee_single_callable(application) is application
    True
    """
    if is_double_callable(application):
        return double_to_single_callable(cast("Callable[[Any], Any]", application))
    return application
