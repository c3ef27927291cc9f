"""The types of ASGI messages and of the callables at both ends, as far as this package needs them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Any]]
Send: TypeAlias = Callable[[Any], Awaitable[None]]
ASGIApplication: TypeAlias = Callable[[Any, Any, Any], Awaitable[None]]
HeaderPairs: TypeAlias = list[tuple[bytes, bytes]]
