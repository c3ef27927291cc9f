"""One set of scopes over many processes and machines, with Redis Streams. Needs ``asgi-server[redis]``.

:class:`RedisStreamsProducer` writes messages into partitions by scope id, :class:`RedisStreamsServer` serves
them. What is guaranteed, and how far it scales, is in ``docs-redis.md`` of this package.
"""

try:
    from ._redis_server import RedisStreamsServer
except ImportError as _error:
    raise ImportError('asgi_server.redis_streams needs redis-py: install "asgi-server[redis]"') from _error

from ._redis_layout import Layout
from ._redis_producer import RedisStreamsProducer

__all__ = ("Layout", "RedisStreamsProducer", "RedisStreamsServer")
