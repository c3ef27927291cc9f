from __future__ import annotations

import gc
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from hypothesis import HealthCheck, settings

from asgi_wsgi import WSGIMiddleware, WsgiToAsgi

# A busy machine is no finding.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

BOTH = {"WsgiToAsgi": WsgiToAsgi, "WSGIMiddleware": WSGIMiddleware}


@pytest.fixture(params=BOTH)
def adapt(request):
    """Either adapter, with its own defaults."""
    return BOTH[request.param]


@pytest.fixture(params=[*BOTH, "buffered pool", "executor", "streaming sensitive thread"])
def adapt_any(request):
    """Either adapter, and the combinations of options between them."""
    if request.param in BOTH:
        yield BOTH[request.param]
    elif request.param == "buffered pool":
        yield partial(WSGIMiddleware, stream=False, workers=4)
    elif request.param == "streaming sensitive thread":
        yield partial(WsgiToAsgi, stream=True)
    else:
        with ThreadPoolExecutor(4) as executor:
            yield partial(WSGIMiddleware, executor=executor)


@pytest.fixture(params=["pool", "sensitive thread"])
def adapt_streaming(request):
    """The request body is streamed."""
    return WSGIMiddleware if request.param == "pool" else partial(WsgiToAsgi, stream=True)


@pytest.fixture
def no_thread_left():
    """Nothing but idle threads of pools is left over after the test."""
    before = set(threading.enumerate())
    yield
    gc.collect()
    for thread in set(threading.enumerate()) - before:
        assert thread.name.startswith(("asgi-wsgi", "ThreadPoolExecutor", "asyncio", "asgi", "Thread")), (
            thread
        )
