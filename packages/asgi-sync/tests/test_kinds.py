"""What functools and the descriptors of classes make of generator functions and context managers, wrapped both ways.

A decorator that calls the function and hands on what it makes is told from a generator function: its own code may
block, so it runs where all wrapped functions run, and gives the plain generator.
"""

import asyncio
import contextlib
import functools
import inspect
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from asgi_sync import (
    async_to_sync,
    async_to_sync_iterator,
    sync_to_async,
    sync_to_async_iterator,
)

InThread = Callable[..., Any]


def logged(function: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator as most are: a function that calls another one."""

    @functools.wraps(function)
    def wrapper(*args: Any) -> Any:
        wrapper.threads.append(threading.current_thread())  # type: ignore[attr-defined]  # a mark of its own
        return function(*args)

    wrapper.threads = []  # type: ignore[attr-defined]  # as above
    return wrapper


def count(stop: int, *words: str) -> Iterator[Any]:
    yield from range(stop)
    yield from words
    yield threading.current_thread()


async def acount(stop: int, *words: str) -> AsyncIterator[Any]:
    for number in range(stop):
        await asyncio.sleep(0)
        yield number
    for word in words:
        yield word
    yield asyncio.get_running_loop()


def doubling(function: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
    """A decorator that is a generator function itself."""

    @functools.wraps(function)
    def wrapper(*args: Any) -> Iterator[Any]:
        for item in function(*args):
            yield from (item, item)

    return wrapper


def adoubling(function: Callable[..., AsyncIterator[Any]]) -> Callable[..., AsyncIterator[Any]]:
    @functools.wraps(function)
    async def wrapper(*args: Any) -> AsyncIterator[Any]:
        async for item in function(*args):
            yield item
            yield item

    return wrapper


async def collect(items: Any) -> list[Any]:
    """All but the thread or loop at the end, which must not be this one."""
    *collected, place = [item async for item in items]
    assert isinstance(place, threading.Thread)
    assert place is not threading.current_thread()
    return collected


def collect_sync(items: Any) -> list[Any]:
    assert inspect.isgenerator(items) or hasattr(items, "send")
    *collected, place = items
    assert isinstance(place, asyncio.AbstractEventLoop)
    return collected


class Owner:
    """Generator functions of all kinds, wrapped outside and inside of the descriptors."""

    @sync_to_async
    @classmethod
    def inner_class(cls, stop: int) -> Iterator[Any]:
        assert cls is Owner
        return (yield from count(stop))

    @classmethod
    @sync_to_async
    def outer_class(cls, stop: int) -> Iterator[Any]:
        assert cls is Owner
        return (yield from count(stop))

    @sync_to_async
    @staticmethod
    def inner_static(stop: int) -> Iterator[Any]:
        return (yield from count(stop))

    @staticmethod
    @sync_to_async
    def outer_static(stop: int) -> Iterator[Any]:
        return (yield from count(stop))

    @sync_to_async
    def method(self, stop: int, *words: str) -> Iterator[Any]:
        assert isinstance(self, Owner)
        return (yield from count(stop, *words))

    partial = functools.partialmethod(method, 2, "more")

    @functools.singledispatchmethod
    @sync_to_async
    def dispatching(self, stop: Any) -> Iterator[Any]:
        raise TypeError
        yield

    @dispatching.register
    @sync_to_async
    def of_number(self, stop: int) -> Iterator[Any]:
        return (yield from count(stop))


class AsyncOwner:
    """The same the other way."""

    @async_to_sync
    @classmethod
    async def inner_class(cls, stop: int) -> AsyncIterator[Any]:
        assert cls is AsyncOwner
        async for item in acount(stop):
            yield item

    @classmethod
    @async_to_sync
    async def outer_class(cls, stop: int) -> AsyncIterator[Any]:
        assert cls is AsyncOwner
        async for item in acount(stop):
            yield item

    @async_to_sync
    @staticmethod
    async def inner_static(stop: int) -> AsyncIterator[Any]:
        async for item in acount(stop):
            yield item

    @staticmethod
    @async_to_sync
    async def outer_static(stop: int) -> AsyncIterator[Any]:
        async for item in acount(stop):
            yield item

    @async_to_sync
    async def method(self, stop: int, *words: str) -> AsyncIterator[Any]:
        assert isinstance(self, AsyncOwner)
        async for item in acount(stop, *words):
            yield item

    partial = functools.partialmethod(method, 2, "more")

    @functools.singledispatchmethod
    @async_to_sync
    async def dispatching(self, stop: Any) -> AsyncIterator[Any]:
        raise TypeError
        yield

    @dispatching.register
    @async_to_sync
    async def of_number(self, stop: int) -> AsyncIterator[Any]:
        async for item in acount(stop):
            yield item


DESCRIPTORS = ["inner_class", "outer_class", "inner_static", "outer_static"]


@pytest.mark.parametrize("name", [*DESCRIPTORS, "method", "dispatching"])
def test_generator_functions_of_a_class(in_thread: InThread, name: str) -> None:
    async def main() -> None:
        assert await collect(getattr(Owner(), name)(2)) == [0, 1]
        if name in DESCRIPTORS:
            assert await collect(getattr(Owner, name)(2)) == [0, 1]

    in_thread(main())


@pytest.mark.parametrize("name", [*DESCRIPTORS, "method", "dispatching"])
def test_async_generator_functions_of_a_class(in_thread: InThread, name: str) -> None:
    def main() -> None:
        assert collect_sync(getattr(AsyncOwner(), name)(2)) == [0, 1]
        if name in DESCRIPTORS:
            assert collect_sync(getattr(AsyncOwner, name)(2)) == [0, 1]

    in_thread(main)


def test_partials(in_thread: InThread) -> None:
    async def main() -> None:
        assert await collect(Owner().partial()) == [0, 1, "more"]
        for partial in (functools.partial(count, 2), functools.partial(functools.partial(count), 2)):
            assert await collect(sync_to_async(partial)("more")) == [0, 1, "more"]
        assert await collect(functools.partial(sync_to_async(count), 2)("more")) == [0, 1, "more"]

    in_thread(main())

    def sync_main() -> None:
        assert collect_sync(AsyncOwner().partial()) == [0, 1, "more"]
        assert collect_sync(async_to_sync(functools.partial(acount, 2))("more")) == [0, 1, "more"]
        assert collect_sync(functools.partial(async_to_sync(acount), 2)("more")) == [0, 1, "more"]

    in_thread(sync_main)


def test_a_decorator_around_the_wrapper_or_a_generator_function_itself(in_thread: InThread) -> None:
    async def main() -> None:
        assert await collect(logged(sync_to_async(count))(2)) == [0, 1]
        *items, place = await collect(sync_to_async(doubling(count))(2))
        assert items == [0, 0, 1, 1]
        assert isinstance(place, threading.Thread)

    in_thread(main())

    def sync_main() -> None:
        assert collect_sync(logged(async_to_sync(acount))(2)) == [0, 1]
        *items, place = collect_sync(async_to_sync(adoubling(acount))(2))
        assert items == [0, 0, 1, 1]
        assert isinstance(place, asyncio.AbstractEventLoop)

    in_thread(sync_main)


def dispatcher(function: Callable[..., Any]) -> Callable[..., Any]:
    dispatch = functools.singledispatch(lambda stop: None)
    dispatch.register(int, function)
    return dispatch


@pytest.mark.parametrize("decorator", [logged, dispatcher])
def test_a_decorator_inside_runs_on_the_thread_and_gives_the_plain_generator(
    in_thread: InThread, decorator: Callable[..., Any]
) -> None:
    async def main() -> None:
        decorated = decorator(count)
        generator = await sync_to_async(decorated)(2)
        assert inspect.isgenerator(generator)
        assert await collect(sync_to_async_iterator(generator)) == [0, 1]
        assert threading.current_thread() not in getattr(decorated, "threads", [])

    in_thread(main())


@pytest.mark.parametrize("decorator", [logged, dispatcher])
def test_a_decorator_inside_that_makes_an_async_generator(
    in_thread: InThread, decorator: Callable[..., Any]
) -> None:
    """The generator cannot be awaited: the error says what can be done with it."""

    def main() -> None:
        decorated = decorator(acount)
        with pytest.warns(UserWarning, match="non-async-marked"):
            wrapped = async_to_sync(decorated)
        with pytest.raises(TypeError, match="await") as caught:
            wrapped(2)
        assert "use async_to_sync_iterator" in caught.value.__notes__[0]
        assert collect_sync(async_to_sync_iterator(decorated(2))) == [0, 1]

    in_thread(main)


def test_a_function_that_makes_an_async_context_manager(in_thread: InThread) -> None:
    """One without the mark of a decorator of contextlib."""

    def make() -> Any:
        return contextlib.aclosing(acount(1))

    def main() -> None:
        with pytest.warns(UserWarning, match="non-async-marked"):
            wrapped = async_to_sync(make)
        with pytest.raises(TypeError, match="await") as caught:
            wrapped()
        assert "use async_to_sync_context_manager" in caught.value.__notes__[0]

    in_thread(main)


@pytest.mark.parametrize("wrap", [functools.partial, staticmethod, contextlib.suppress])
def test_context_managers(in_thread: InThread, wrap: Any) -> None:
    """A partial or staticmethod of such a function is one as well; a class of context managers is a plain callable."""

    @contextlib.contextmanager
    def manage() -> Iterator[threading.Thread]:
        yield threading.current_thread()

    @contextlib.asynccontextmanager
    async def amanage() -> AsyncIterator[asyncio.AbstractEventLoop]:
        yield asyncio.get_running_loop()

    async def main() -> None:
        if wrap is contextlib.suppress:
            assert isinstance(await sync_to_async(wrap)(), wrap)
            return
        async with sync_to_async(wrap(manage))() as thread:
            assert thread is not threading.current_thread()

    in_thread(main())

    def sync_main() -> None:
        if wrap is not contextlib.suppress:
            with async_to_sync(wrap(amanage))() as loop:
                assert isinstance(loop, asyncio.AbstractEventLoop)

    in_thread(sync_main)
