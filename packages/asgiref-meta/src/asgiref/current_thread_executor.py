"""The executor that runs calls on the thread that waits: the name of `asgi_sync`."""

from asgi_sync import CurrentThreadExecutor

__all__ = ["CurrentThreadExecutor"]
