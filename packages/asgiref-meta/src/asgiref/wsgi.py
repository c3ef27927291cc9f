"""WSGI applications under ASGI servers: the names of `asgi_wsgi`."""

from asgi_sync import AsyncToSync, sync_to_async
from asgi_wsgi import WsgiToAsgi, WsgiToAsgiInstance

# asgiref does not offer the first and the last on purpose, but they can be imported from here.
__all__ = ["AsyncToSync", "WsgiToAsgi", "WsgiToAsgiInstance", "sync_to_async"]
