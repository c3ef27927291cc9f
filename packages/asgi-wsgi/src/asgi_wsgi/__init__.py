"""Run WSGI applications under ASGI servers, and ASGI applications under WSGI servers."""

__version__ = "1.0.0"
