"""The names of asgiref 3.13.0, from the asgi-* packages: a drop-in replacement.

Each module hands on the objects of a package. Only the deprecated `asgiref.timeout` is implemented here.

>>> import asgi_sync, asgiref.sync
>>> asgiref.sync.sync_to_async is asgi_sync.sync_to_async
True
"""

__version__ = "3.13.0"
