"""Call sync code from async code, and async code from sync code."""

from __future__ import annotations

from ._async_context_managers import async_to_sync_context_manager
from ._async_iterators import async_to_sync_iterator
from ._async_to_sync import AsyncToSync
from ._decorators import async_to_sync, sync_to_async
from ._errors import DeadlockError
from ._frame import CurrentThreadExecutor
from ._marks import iscoroutinefunction, markcoroutinefunction
from ._portal import BlockingPortal
from ._portals import process_portal, start_blocking_portal
from ._proxy import AsyncProxy, SyncProxy, async_proxy, sync_proxy
from ._recorder import RecordedCrossing, Recording, record
from ._recording_middleware import RecordingMiddleware
from ._scopes import AsyncSingleThreadContext, ThreadSensitiveContext
from ._sync_context_managers import sync_to_async_context_manager
from ._sync_iterators import sync_to_async_iterator
from ._sync_to_async import SyncToAsync
from ._task_status import TaskStatus

__version__ = "1.0.0"

__all__ = [
    "AsyncProxy",
    "AsyncSingleThreadContext",
    "AsyncToSync",
    "BlockingPortal",
    "CurrentThreadExecutor",
    "DeadlockError",
    "RecordedCrossing",
    "Recording",
    "RecordingMiddleware",
    "SyncProxy",
    "SyncToAsync",
    "TaskStatus",
    "ThreadSensitiveContext",
    "async_proxy",
    "async_to_sync",
    "async_to_sync_context_manager",
    "async_to_sync_iterator",
    "iscoroutinefunction",
    "markcoroutinefunction",
    "process_portal",
    "record",
    "start_blocking_portal",
    "sync_proxy",
    "sync_to_async",
    "sync_to_async_context_manager",
    "sync_to_async_iterator",
]
