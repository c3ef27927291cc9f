"""Sync code from async code, and async code from sync code: the names of `asgi_sync`."""

from asgi_local import Local
from asgi_sync import (
    AsyncSingleThreadContext,
    AsyncToSync,
    CurrentThreadExecutor,
    SyncToAsync,
    ThreadSensitiveContext,
    async_to_sync,
    iscoroutinefunction,
    markcoroutinefunction,
    sync_to_async,
)

# asgiref does not name Local and CurrentThreadExecutor here on purpose, but they can be imported from here.
__all__ = [
    "AsyncSingleThreadContext",
    "AsyncToSync",
    "CurrentThreadExecutor",
    "Local",
    "SyncToAsync",
    "ThreadSensitiveContext",
    "async_to_sync",
    "iscoroutinefunction",
    "markcoroutinefunction",
    "sync_to_async",
]
