"""Whole objects: each public method crosses."""

import asyncio
import functools
import threading
from contextlib import asynccontextmanager, contextmanager

import pytest

from asgi_sync import async_proxy, process_portal, start_blocking_portal, sync_proxy


class Sync:
    constant = 3

    def __init__(self):
        self.threads = []

    def _note(self):
        self.threads.append(threading.current_thread())

    def method(self, one, *, two):
        self._note()
        return one + two

    @classmethod
    def of_class(cls):
        return cls, threading.current_thread()

    @staticmethod
    def static():
        return threading.current_thread()

    @property
    def computed(self):
        self._note()
        return "computed"

    @functools.cached_property
    def cached(self):
        self._note()
        return "cached"

    def generate(self):
        self._note()
        yield 1

    @contextmanager
    def block(self):
        self._note()
        yield 2
        self._note()

    async def already(self):
        return threading.current_thread()

    def __iter__(self):
        self._note()
        yield 4

    def __enter__(self):
        self._note()
        return self

    def __exit__(self, *exc_info):
        self._note()


def test_async_proxy():
    target = Sync()

    async def main():
        proxy = async_proxy(target)
        assert await proxy.method(1, two=2) == 3
        assert proxy.constant == 3
        assert (await proxy.of_class())[0] is Sync
        assert await proxy.static() is not threading.current_thread()
        assert await proxy.computed == "computed"
        assert await proxy.cached == "cached"
        assert [item async for item in proxy.generate()] == [1]
        async with proxy.block() as value:
            assert value == 2
        async with proxy as entered:
            assert entered is proxy
            assert [item async for item in proxy] == [4]
        assert await proxy.already() is threading.current_thread()
        assert "method" in dir(proxy)
        assert "_note" not in dir(proxy)
        with pytest.raises(AttributeError, match="private"):
            proxy._note  # noqa: B018 - the look-up is the test
        with pytest.raises(AttributeError, match="nothing"):
            proxy.nothing  # noqa: B018 - the look-up is the test
        with pytest.raises(AttributeError, match="cannot set"):
            proxy.constant = 4

    asyncio.run(main())
    assert len(target.threads) == 9
    assert len(set(target.threads)) == 1
    assert threading.current_thread() not in target.threads


class Async:
    constant = 3

    def __init__(self):
        self.loops = []

    def _note(self):
        self.loops.append(asyncio.get_running_loop())

    async def method(self, one, *, two):
        """Documented."""
        self._note()
        return one + two

    def plain(self):
        self._note()
        return "plain"

    def gives_awaitable(self):
        return self.method(1, two=2)

    @property
    def computed(self):
        self._note()
        return "computed"

    async def generate(self):
        self._note()
        yield 1

    @asynccontextmanager
    async def block(self):
        self._note()
        yield 2

    async def __aiter__(self):
        self._note()
        yield 4

    async def __aenter__(self):
        self._note()
        return self

    async def __aexit__(self, *exc_info):
        self._note()


def test_sync_proxy():
    target = Async()
    with start_blocking_portal() as portal:
        proxy = sync_proxy(target, portal=portal)
        assert proxy.method(1, two=2) == 3
        assert proxy.method.__doc__ == "Documented."
        assert proxy.constant == 3
        assert proxy.plain() == "plain"
        assert proxy.gives_awaitable() == 3
        assert proxy.computed == "computed"
        assert list(proxy.generate()) == [1]
        with proxy.block() as value:
            assert value == 2
        with proxy as entered:
            assert entered is proxy
            assert list(proxy) == [4]
        with pytest.raises(AttributeError, match="private"):
            proxy._note  # noqa: B018 - the look-up is the test
        with pytest.raises(AttributeError, match="cannot set"):
            proxy.constant = 4
        assert set(target.loops) == {portal.call(asyncio.get_running_loop)}
    assert len(target.loops) == 9


def test_sync_proxy_in_the_portal_of_the_process():
    target = Async()
    assert sync_proxy(target).method(1, two=2) == 3
    assert target.loops == [process_portal().call(asyncio.get_running_loop)]
    with pytest.raises(TypeError, match="BlockingPortal"):
        sync_proxy(target, portal=3)
