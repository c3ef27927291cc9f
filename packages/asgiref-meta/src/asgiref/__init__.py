"""The names of asgiref 3.13.0, from the asgi-* packages: a drop-in replacement."""

__version__ = "3.13.0"
