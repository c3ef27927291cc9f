from __future__ import annotations

import subprocess
import sys

import asgi_wsgi


def test_every_public_name_is_there_and_documented():
    assert sorted(asgi_wsgi.__all__, key=str.lower) == sorted(set(asgi_wsgi.__all__), key=str.lower)
    for name in asgi_wsgi.__all__:
        assert getattr(asgi_wsgi, name).__doc__, name


def test_every_public_method_is_documented():
    for name in asgi_wsgi.__all__:
        cls = getattr(asgi_wsgi, name)
        for method, value in vars(cls).items():
            if not method.startswith("_") and (callable(value) or isinstance(value, property)):
                assert value.__doc__, f"{name}.{method}"


def test_importing_starts_nothing():
    code = (
        "import threading, asyncio, warnings; warnings.simplefilter('error'); import asgi_wsgi;"
        "assert threading.active_count() == 1"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=60)
