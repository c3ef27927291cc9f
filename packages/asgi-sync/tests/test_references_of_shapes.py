"""Iterators, context managers, portals and proxies keep nothing alive: what they carried dies with its last name."""

import asyncio
import contextlib
import gc
import sysconfig
import time
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, asynccontextmanager, closing, contextmanager
from typing import Any

import pytest

from asgi_sync import (
    AsyncSingleThreadContext,
    async_proxy,
    async_to_sync,
    async_to_sync_context_manager,
    async_to_sync_iterator,
    start_blocking_portal,
    sync_proxy,
    sync_to_async,
    sync_to_async_context_manager,
    sync_to_async_iterator,
)

#: There functions, and what two threads refer to, are freed by the collector: see test_references.
FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))


class Thing:
    """Something that can be referred to weakly."""


class Failure(Exception):
    """Carries a thing."""

    def __init__(self, thing: Thing) -> None:
        self.thing = thing


class Keep:
    """Notes objects, and hands them on; in the end all of them must be dead, by counting references alone."""

    def __init__(self) -> None:
        self._references: list[tuple[str, weakref.ref[Any]]] = []

    def __call__(self, thing: Any) -> Any:
        self._references.append((type(thing).__name__, weakref.ref(thing)))
        return thing

    def wait(self) -> None:
        """Until all are dead: threads, and the loop, may need a moment to let go."""
        end = time.monotonic() + 30
        while alive := [kind for kind, reference in self._references if reference() is not None]:
            if time.monotonic() > end:
                pytest.fail(f"still alive: {alive}")
            if FREE_THREADED:
                gc.collect()
            time.sleep(0.001)

    async def gone(self) -> None:
        """The same while the loop goes on: one that is closed is in cycles with whatever its tasks had."""
        await asyncio.to_thread(self.wait)


@pytest.fixture
def keep() -> Iterator[Keep]:
    gc.collect()
    gc.disable()
    keep = Keep()
    try:
        yield keep
        assert keep._references
        keep.wait()
    finally:
        gc.enable()


class Source:
    """Generators of both kinds that make things, and fail if they are asked to."""

    def __init__(self, keep: Keep, fails: bool = False) -> None:
        self.keep = keep
        self.fails = fails

    def generate(self) -> Iterator[Thing]:
        for _ in range(3):
            yield self.keep(Thing())
        if self.fails:
            raise self.keep(Failure(self.keep(Thing())))

    async def agenerate(self) -> AsyncIterator[Thing]:
        for _ in range(3):
            await asyncio.sleep(0)
            yield self.keep(Thing())
        if self.fails:
            raise self.keep(Failure(self.keep(Thing())))

    @contextmanager
    def manage(self, where: str = "") -> Iterator[Thing]:
        if where == "enter":
            raise self.keep(Failure(self.keep(Thing())))
        yield self.keep(Thing())
        if where == "exit":
            raise self.keep(Failure(self.keep(Thing())))

    @asynccontextmanager
    async def amanage(self, where: str = "") -> AsyncIterator[Thing]:
        await asyncio.sleep(0)
        with self.manage(where) as thing:
            yield thing

    def fail(self) -> None:
        raise self.keep(Failure(self.keep(Thing())))

    async def afail(self) -> None:
        await asyncio.sleep(0)
        self.fail()


# Iterators

OPTIONS: dict[str, dict[str, Any]] = {
    "sensitive": {},
    "insensitive": {"thread_sensitive": False},
    "ahead": {"max_buffer_size": 2},
    "insensitive, ahead": {"thread_sensitive": False, "max_buffer_size": 2},
    "waiting": {"abandon_on_cancel": False},
}


async def use(items: Any, way: str, keep: Keep) -> None:
    """Iterate in one of several ways; nothing that is named here outlives the return."""
    if way in {"to the end", "failing"}:
        with contextlib.suppress(Failure):
            async for item in items:
                del item
    elif way == "closed":
        async with aclosing(items):
            await anext(items)
    elif way == "dropped":
        await anext(items)
    elif way == "body fails":
        with contextlib.suppress(Failure):
            async with aclosing(items):
                async for _ in items:
                    raise keep(Failure(keep(Thing())))
    elif way == "cancelled":
        await anext(items)
        task = keep(asyncio.create_task(anext(items)))
        await asyncio.sleep(0)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    elif way == "thrown":
        await anext(items)
        with contextlib.suppress(Failure):
            await items.athrow(keep(Failure(keep(Thing()))))


@pytest.mark.parametrize(
    "way", ["to the end", "failing", "closed", "dropped", "body fails", "cancelled", "thrown"]
)
@pytest.mark.parametrize("mode", OPTIONS)
def test_an_iterator_for_async_code(in_thread: Callable[..., Any], keep: Keep, mode: str, way: str) -> None:
    options = OPTIONS[mode]
    if way == "thrown" and "max_buffer_size" in options:
        way = "to the end"  # nothing can be thrown into an iterator that runs ahead
    source = Source(keep, fails=way == "failing")

    async def main() -> None:
        call = keep(sync_to_async(source.generate, **options))
        await asyncio.create_task(use(keep(call()), way, keep))
        del call
        items = sync_to_async_iterator(keep(source.generate()), **options)
        task = asyncio.create_task(use(keep(items), way, keep))
        del items
        await task
        del task
        await keep.gone()

    in_thread(main())


def test_an_iterator_on_a_thread_of_an_executor(in_thread: Callable[..., Any], keep: Keep) -> None:
    source = Source(keep)

    def root() -> None:
        with ThreadPoolExecutor(2) as executor:

            async def main() -> None:
                options: Any = {"thread_sensitive": False, "executor": executor}
                for way in ("to the end", "closed", "dropped"):
                    await asyncio.create_task(
                        use(keep(sync_to_async(source.generate, **options)()), way, keep)
                    )
                await keep.gone()

            asyncio.run(main())

    in_thread(root)


def use_sync(items: Any, way: str, keep: Keep) -> None:
    """The same from sync code."""
    if way in {"to the end", "failing"}:
        with contextlib.suppress(Failure):
            for item in items:
                del item
    elif way == "closed":
        with closing(items):
            next(items)
    elif way == "dropped":
        next(items)
    elif way == "body fails":
        with contextlib.suppress(Failure), closing(items):
            for _ in items:
                raise keep(Failure(keep(Thing())))
    elif way == "thrown":
        next(items)
        with contextlib.suppress(Failure):
            items.throw(keep(Failure(keep(Thing()))))


def in_place(in_thread: Callable[..., Any], place: str, function: Callable[[], None], keep: Keep) -> None:
    """Call sync code that uses async code, with the loop in one of the places where it can be."""

    def scope() -> None:
        with AsyncSingleThreadContext():
            function()
            keep.wait()

    def portal() -> None:
        with start_blocking_portal() as portal:
            portal.call(sync_to_async(function))
            keep.wait()

    async def parent() -> None:
        await sync_to_async(function)()
        await keep.gone()

    if place == "parent loop":
        in_thread(parent())
    else:
        in_thread({"own loop": function, "single thread context": scope, "portal": portal}[place])


PLACES = ["own loop", "parent loop", "single thread context", "portal"]


@pytest.mark.parametrize("way", ["to the end", "failing", "closed", "dropped", "body fails", "thrown"])
@pytest.mark.parametrize("size", [0, 2])
@pytest.mark.parametrize("place", PLACES)
def test_an_iterator_for_sync_code(
    in_thread: Callable[..., Any], keep: Keep, place: str, size: int, way: str
) -> None:
    if way == "thrown" and size:
        way = "to the end"  # nothing can be thrown into an iterator that runs ahead
    source = Source(keep, fails=way == "failing")

    def main() -> None:
        call = keep(async_to_sync(source.agenerate, max_buffer_size=size))
        use_sync(keep(call()), way, keep)
        use_sync(keep(async_to_sync_iterator(keep(source.agenerate()), max_buffer_size=size)), way, keep)

    in_place(in_thread, place, main, keep)


# Context managers

BLOCKS = ["", "enter", "exit", "body"]


@pytest.mark.parametrize("where", BLOCKS)
@pytest.mark.parametrize("thread_sensitive", [True, False])
def test_a_context_manager_for_async_code(
    in_thread: Callable[..., Any], keep: Keep, thread_sensitive: bool, where: str
) -> None:
    source = Source(keep)

    async def block() -> None:
        with contextlib.suppress(Failure):
            async with keep(sync_to_async(source.manage, thread_sensitive=thread_sensitive)(where)):
                if where == "body":
                    raise keep(Failure(keep(Thing())))

    async def main() -> None:
        await asyncio.create_task(block())
        await keep.gone()

    in_thread(main())


@pytest.mark.parametrize("where", BLOCKS)
@pytest.mark.parametrize("place", PLACES)
def test_a_context_manager_for_sync_code(
    in_thread: Callable[..., Any], keep: Keep, place: str, where: str
) -> None:
    source = Source(keep)

    def main() -> None:
        with contextlib.suppress(Failure):
            with keep(async_to_sync(source.amanage)(where)):
                if where == "body":
                    raise keep(Failure(keep(Thing())))

    in_place(in_thread, place, main, keep)


class Swallowing:
    """As `contextlib.suppress`, which is none for async code. (A generator that catches leaves a cycle by itself.)"""

    def __enter__(self) -> None: ...

    def __exit__(self, *details: object) -> bool:
        return True

    async def __aenter__(self) -> None: ...

    async def __aexit__(self, *details: object) -> bool:
        return True


def test_an_exception_that_is_swallowed_for_async_code(in_thread: Callable[..., Any], keep: Keep) -> None:
    async def block() -> None:
        async with keep(sync_to_async_context_manager(keep(Swallowing()))):
            raise keep(Failure(keep(Thing())))

    async def main() -> None:
        await asyncio.create_task(block())
        await keep.gone()

    in_thread(main())


@pytest.mark.parametrize("place", PLACES)
def test_an_exception_that_is_swallowed_for_sync_code(
    in_thread: Callable[..., Any], keep: Keep, place: str
) -> None:
    def main() -> None:
        with keep(async_to_sync_context_manager(keep(Swallowing()))):
            raise keep(Failure(keep(Thing())))

    in_place(in_thread, place, main, keep)


# The portal and the proxies


def test_a_portal_and_what_it_ran(in_thread: Callable[..., Any], keep: Keep) -> None:
    source = Source(keep)

    async def started(*, task_status: Any) -> None:
        task_status.started(keep(Thing()))
        await asyncio.Event().wait()

    async def never(*, task_status: Any) -> None:
        await source.afail()

    def main() -> None:
        with start_blocking_portal() as portal:
            keep(portal)
            for function in (source.afail, source.fail):
                with contextlib.suppress(Failure):
                    portal.call(function)
            assert isinstance(keep(portal.start_task_soon(source.afail)).exception(40), Failure)
            future, value = portal.start_task(started)
            keep(future)
            del value
            with contextlib.suppress(Failure):
                portal.start_task(never)
            cancelled = keep(portal.start_task_soon(asyncio.sleep, 3600))
            cancelled.cancel()
            with contextlib.suppress(Failure):
                with portal.wrap_async_context_manager(source.amanage("exit")):
                    pass

    in_thread(main)


def test_proxies(in_thread: Callable[..., Any], keep: Keep) -> None:
    def main() -> None:
        async def use_async_proxy() -> None:
            proxy = async_proxy(keep(Source(keep, fails=True)))
            keep(proxy)
            with contextlib.suppress(Failure):
                await proxy.fail()
            await asyncio.create_task(use(proxy.generate(), "failing", keep))

        asyncio.run(use_async_proxy())
        with start_blocking_portal() as portal:
            proxy: Any = sync_proxy(keep(Source(keep, fails=True)), portal=portal)
            keep(proxy)
            with contextlib.suppress(Failure):
                proxy.afail()
            use_sync(proxy.agenerate(), "failing", keep)

    in_thread(main)
