"""The application that uvicorn and daphne serve."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
http = get_asgi_application()

from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402 - Django must be set up first
from django.urls import path  # noqa: E402
from notes.consumers import Room, SyncEcho  # noqa: E402

application = ProtocolTypeRouter(
    {
        "http": http,
        "websocket": URLRouter([path("ws/room/<name>", Room.as_asgi()), path("ws/echo", SyncEcho.as_asgi())]),
    }
)
