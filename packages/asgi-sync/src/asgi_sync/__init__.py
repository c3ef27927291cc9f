"""Call sync code from async code, and async code from sync code."""

from __future__ import annotations

from ._async_to_sync import AsyncToSync, async_to_sync
from ._errors import DeadlockError
from ._frame import CurrentThreadExecutor
from ._marks import iscoroutinefunction, markcoroutinefunction
from ._scopes import AsyncSingleThreadContext, ThreadSensitiveContext
from ._sync_to_async import SyncToAsync, sync_to_async

__version__ = "1.0.0"

__all__ = [
    "AsyncSingleThreadContext",
    "AsyncToSync",
    "CurrentThreadExecutor",
    "DeadlockError",
    "SyncToAsync",
    "ThreadSensitiveContext",
    "async_to_sync",
    "iscoroutinefunction",
    "markcoroutinefunction",
    "sync_to_async",
]
