"""ASGI 2 applications in an ASGI 3 world, and coroutine function marks that work from Python 3.11 on."""

from ._callability import (
    double_to_single_callable,
    guarantee_single_callable,
    is_double_callable,
    iscoroutinefunction,
    markcoroutinefunction,
)

__all__ = (
    "double_to_single_callable",
    "guarantee_single_callable",
    "is_double_callable",
    "iscoroutinefunction",
    "markcoroutinefunction",
)
