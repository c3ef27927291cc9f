"""What a wrapper looks like: metadata, methods, attributes, executors, and where the awaitable is made."""

import asyncio
import concurrent.futures
import copy
import functools
import inspect
import threading
import typing
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any

import pytest

from asgi_sync import ThreadSensitiveContext, async_to_sync, iscoroutinefunction, sync_to_async

ident = threading.get_ident
InThread = Callable[..., Any]


async def coroutine_function(first: int, /, second: str = "2", *, third: bool = True) -> list[object]:
    """Put three things into a list."""
    return [first, second, third]


def plain_function(first: int, /, second: str = "2", *, third: bool = True) -> list[object]:
    """List three things."""
    return [first, second, third]


# Metadata


def test_an_async_to_sync_wrapper_has_the_metadata_of_its_function() -> None:
    """asgiref 3.13.0: AttributeError (#500)."""
    wrapper = async_to_sync(coroutine_function)
    assert wrapper.__name__ == "coroutine_function"  # type: ignore[attr-defined]
    assert wrapper.__qualname__ == "coroutine_function"  # type: ignore[attr-defined]
    assert wrapper.__module__ == __name__
    assert wrapper.__doc__ == "Put three things into a list."
    assert wrapper.__wrapped__ is coroutine_function  # type: ignore[attr-defined]


def test_the_signature_of_an_async_to_sync_wrapper() -> None:
    """asgiref 3.13.0 shows ``(*args, **kwargs)``."""
    assert inspect.signature(async_to_sync(coroutine_function)) == inspect.signature(coroutine_function)


def test_the_signature_of_a_sync_to_async_wrapper() -> None:
    assert inspect.signature(sync_to_async(plain_function)) == inspect.signature(plain_function)


def test_the_annotations_of_a_wrapper_are_those_of_its_function() -> None:
    """Frameworks that look at the types of views ask for them. asgiref 3.13.0 gives none for `async_to_sync`."""
    hints = {"first": int, "second": str, "third": bool, "return": list[object]}
    for wrapper in (async_to_sync(coroutine_function), sync_to_async(plain_function)):
        assert typing.get_type_hints(wrapper) == hints
        assert inspect.get_annotations(wrapper) == hints
    for wrapper in (sync_to_async(len), sync_to_async(functools.partial(plain_function, 1))):
        assert inspect.get_annotations(wrapper) == {}


class Named:
    def work(self) -> None:
        """Work."""

    async def awork(self) -> None:
        """Work as well."""


@pytest.mark.parametrize(
    "named", [plain_function, Named().work, functools.wraps(plain_function)(lambda: None), len]
)
def test_decorators_find_on_a_wrapper_what_they_find_on_its_function(named: Any) -> None:
    """Also where it is looked up only then: of a method, and of what has no attributes of its own."""
    wrapper: Any = sync_to_async(named)
    for name in ("__module__", "__name__", "__qualname__", "__doc__", "__self__"):
        assert getattr(wrapper, name, None) == getattr(named, name, None)
    decorated: Any = functools.wraps(wrapper)(lambda: None)
    assert (decorated.__qualname__, decorated.__wrapped__) == (named.__qualname__, wrapper)


def test_a_wrapper_can_be_renamed_and_copied() -> None:
    wrapper: Any = async_to_sync(Named().awork)
    wrapper.__name__ = "renamed"
    twin = copy.copy(wrapper)
    assert (twin.__name__, twin.__qualname__, twin.__doc__) == ("renamed", "Named.awork", "Work as well.")


def test_what_a_wrapper_has_not_is_an_attribute_error() -> None:
    wrapper: Any = sync_to_async(plain_function)
    with pytest.raises(AttributeError, match="'SyncToAsync' object has no attribute 'nonsense'"):
        wrapper.nonsense  # noqa: B018 - it is the look that raises
    with pytest.raises(AttributeError, match="__self__"):
        wrapper.__self__  # noqa: B018
    assert not hasattr(type(wrapper).__new__(type(wrapper)), "__name__")  # nothing is wrapped yet


def test_the_signature_of_a_bound_method_leaves_self_out() -> None:
    """asgiref 3.13.0 shows ``self`` in it."""

    class Service:
        @sync_to_async
        def work(self, x: int) -> int:
            return x

        @async_to_sync
        async def awork(self, x: int) -> int:
            return x

    assert list(inspect.signature(Service().work).parameters) == ["x"]
    assert list(inspect.signature(Service().awork).parameters) == ["x"]


@pytest.mark.parametrize("shape", ["partial", "instance", "lambda", "builtin"])
def test_callables_without_a_name_can_be_wrapped(in_thread: InThread, shape: str) -> None:
    class Callee:
        def __call__(self, x: int) -> int:
            return x

    functions: dict[str, Callable[[int], int]] = {
        "partial": functools.partial(int),
        "instance": Callee(),
        "lambda": lambda x: x,
        "builtin": abs,
    }

    async def main() -> int:
        return await sync_to_async(functions[shape])(3)

    assert in_thread(main()) == 3


def test_async_callables_without_a_name_can_be_wrapped(in_thread: InThread) -> None:
    class Callee:
        async def __call__(self, x: int) -> int:
            return x

    async def plus(x: int, y: int) -> int:
        return x + y

    assert in_thread(async_to_sync(Callee()), 3) == 3
    assert in_thread(async_to_sync(functools.partial(plus, 1)), 3) == 4


def test_the_representation_names_the_function() -> None:
    """What one sees in a log or a debugger. asgiref 3.13.0 shows the class and an address."""
    assert "plain_function" in repr(sync_to_async(plain_function))
    assert "coroutine_function" in repr(async_to_sync(coroutine_function))


# Attributes of the wrapped function


OURS = [
    "func", "awaitable", "context", "force_new_loop", "executors", "loop_thread_executors", "main_wrap",
    "thread_handler", "threadlocal", "single_thread_executor", "thread_sensitive_context", "deadlock_context",
    "context_to_thread_executor", "async_single_thread_context", "_thread_sensitive", "_executor",
    "_is_coroutine", "_abandon_on_cancel", "abandon_on_cancel", "loop", "executor", "name",
]  # fmt: skip


@pytest.mark.parametrize("name", OURS)
def test_an_attribute_of_the_sync_function_collides_with_nothing(in_thread: InThread, name: str) -> None:
    """asgiref 3.13.0 takes the function's for its own: thread_handler, single_thread_executor and others."""

    def work() -> int:
        return 5

    setattr(work, name, "of the function")
    wrapper = sync_to_async(work)

    async def main() -> int:
        return await wrapper()

    assert in_thread(main()) == 5
    assert getattr(work, name) == "of the function"


@pytest.mark.parametrize("name", OURS)
def test_an_attribute_of_the_async_function_collides_with_nothing(in_thread: InThread, name: str) -> None:
    async def work() -> int:
        return 5

    setattr(work, name, "of the function")
    assert in_thread(async_to_sync(work)) == 5
    assert in_thread(sync_to_async(async_to_sync(work))()) == 5


def test_attributes_of_the_async_function_are_carried_over() -> None:
    """csrf_exempt and its kind. asgiref 3.13.0 drops them."""

    async def view() -> None: ...

    view.csrf_exempt = True  # type: ignore[attr-defined]
    assert async_to_sync(view).csrf_exempt is True  # type: ignore[attr-defined]


def test_wrapping_a_sync_to_async_wrapper_again_is_refused() -> None:
    with pytest.raises(TypeError, match="sync_to_async can only be applied to sync functions"):
        sync_to_async(sync_to_async(plain_function))


def test_a_wrapper_of_a_wrapper_of_the_other_kind(in_thread: InThread) -> None:
    """Back and forth is no identity, and the attributes of the inner one do not leak into the outer one."""
    wrapper = sync_to_async(async_to_sync(sync_to_async(plain_function)))
    assert wrapper.func is not plain_function  # type: ignore[attr-defined]
    assert in_thread(wrapper(1)) == [1, "2", True]


# Methods


class Service:
    def __init__(self, name: str = "service") -> None:
        self.name = name

    @sync_to_async
    def work(self, x: int = 0) -> tuple[str, int]:
        return self.name, x

    @async_to_sync
    async def awork(self, x: int = 0) -> tuple[str, int]:
        return self.name, x

    @classmethod
    @sync_to_async
    def class_outside(cls, x: int = 0) -> tuple[str, int]:
        return cls.__name__, x

    @staticmethod
    @sync_to_async
    def static_outside(x: int = 0) -> tuple[str, int]:
        return "static", x

    @classmethod
    @async_to_sync
    async def aclass_outside(cls, x: int = 0) -> tuple[str, int]:
        return cls.__name__, x

    @staticmethod
    @async_to_sync
    async def astatic_outside(x: int = 0) -> tuple[str, int]:
        return "static", x


class SubService(Service):
    pass


def test_a_method_called_on_an_instance(in_thread: InThread) -> None:
    assert in_thread(Service("mine").work(3)) == ("mine", 3)  # type: ignore[call-arg, arg-type]
    assert in_thread(Service("mine").awork, 3) == ("mine", 3)


def test_a_method_called_on_the_class_with_an_instance(in_thread: InThread) -> None:
    """asgiref 3.13.0 passes None for self."""
    assert in_thread(Service.work(Service("mine"), 3)) == ("mine", 3)
    assert in_thread(Service.awork, Service("mine"), 3) == ("mine", 3)


def test_a_method_called_through_super(in_thread: InThread) -> None:
    class Louder(Service):
        async def work(self, x: int = 0) -> tuple[str, int]:  # type: ignore[override]
            name, x = await super().work(x)  # type: ignore[call-arg, arg-type]
            return name.upper(), x

    assert in_thread(Louder("mine").work(3)) == ("MINE", 3)


@pytest.mark.parametrize("owner", [Service, Service(), SubService, SubService()])
def test_classmethod_and_staticmethod_around_the_wrapper(in_thread: InThread, owner: Any) -> None:
    cls = owner if isinstance(owner, type) else type(owner)
    assert in_thread(owner.class_outside(3)) == (cls.__name__, 3)
    assert in_thread(owner.static_outside(3)) == ("static", 3)
    assert in_thread(owner.aclass_outside, 3) == (cls.__name__, 3)
    assert in_thread(owner.astatic_outside, 3) == ("static", 3)


def test_classmethod_and_staticmethod_inside_sync_to_async(in_thread: InThread) -> None:
    """asgiref 3.13.0: a classmethod is no callable (TypeError), a staticmethod gets the instance."""

    class Inside:
        @sync_to_async
        @classmethod
        def of_class(cls, x: int) -> tuple[str, int]:
            return cls.__name__, x

        @sync_to_async
        @staticmethod
        def static(x: int) -> tuple[str, int]:
            return "static", x

    class SubInside(Inside):
        pass

    for owner in (Inside, Inside(), SubInside, SubInside()):
        cls = owner if isinstance(owner, type) else type(owner)
        assert in_thread(owner.of_class(3)) == (cls.__name__, 3)
        assert in_thread(owner.static(3)) == ("static", 3)


def test_classmethod_and_staticmethod_inside_async_to_sync(in_thread: InThread) -> None:
    """asgiref 3.13.0 warns about a classmethod and then fails; a staticmethod gets the instance."""

    class Inside:
        @async_to_sync
        @classmethod
        async def of_class(cls, x: int) -> tuple[str, int]:
            return cls.__name__, x

        @async_to_sync
        @staticmethod
        async def static(x: int) -> tuple[str, int]:
            return "static", x

    class SubInside(Inside):
        pass

    for owner in (Inside, Inside(), SubInside, SubInside()):
        cls = owner if isinstance(owner, type) else type(owner)
        assert in_thread(owner.of_class, 3) == (cls.__name__, 3)
        assert in_thread(owner.static, 3) == ("static", 3)


def test_every_shape_of_a_method_is_a_coroutine_function() -> None:
    service = Service()
    for method in (service.work, service.class_outside, Service.class_outside, service.static_outside):
        assert iscoroutinefunction(method)
    assert iscoroutinefunction(Service.work)
    assert not iscoroutinefunction(service.awork)


def test_two_methods_of_one_instance_are_equal() -> None:
    """As bound methods are: signal dispatchers compare them. In asgiref 3.13.0 they are not equal."""
    service = Service()
    assert service.work == service.work
    assert service.awork == service.awork
    assert service.work != Service().work


def test_a_class_whose_instances_are_async_callables_is_not_refused(in_thread: InThread) -> None:
    """Calling the class is sync. asgiref 3.13.0: TypeError."""

    class Application:
        async def __call__(self) -> int:
            return 5

    async def main() -> int:
        application = await sync_to_async(Application)()
        return await application()

    assert in_thread(main()) == 5


# Executors


class Inline(Executor):
    """Run what is submitted at once."""

    def __init__(self) -> None:
        self.submitted = 0

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.submitted += 1
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as exc:
            future.set_exception(exc)
        return future


def test_any_executor_can_be_given(in_thread: InThread) -> None:
    executor = Inline()

    async def main() -> tuple[int, int]:
        return ident(), await sync_to_async(ident, thread_sensitive=False, executor=executor)()  # type: ignore[arg-type]

    here, there = in_thread(main())
    assert here == there
    assert executor.submitted == 1


def test_any_executor_can_be_given_to_a_context(in_thread: InThread) -> None:
    executor = Inline()

    async def main() -> int:
        async with ThreadSensitiveContext(executor=executor):
            return await sync_to_async(lambda: 5)()

    assert in_thread(main()) == 5
    assert executor.submitted == 1


@pytest.mark.parametrize("wrong", [42, "pool"])
def test_what_is_no_executor_is_refused_at_once(wrong: Any) -> None:
    """asgiref 3.13.0 fails at the call, with an AttributeError about ``submit``."""
    with pytest.raises(TypeError, match="executor"):
        sync_to_async(plain_function, thread_sensitive=False, executor=wrong)


def test_an_executor_that_was_shut_down_says_so(in_thread: InThread) -> None:
    pool = ThreadPoolExecutor(1)
    pool.shutdown()

    async def main() -> None:
        await sync_to_async(ident, thread_sensitive=False, executor=pool)()

    with pytest.raises(RuntimeError, match="shutdown"):
        in_thread(main())


def test_an_executor_whose_future_is_cancelled_does_not_hang(in_thread: InThread) -> None:
    """``shutdown(cancel_futures=True)`` of a busy pool: the awaiting task is told."""
    release = threading.Event()

    async def main() -> str:
        pool = ThreadPoolExecutor(1)
        pool.submit(release.wait, 40)
        call = sync_to_async(ident, thread_sensitive=False, executor=pool)
        task = asyncio.create_task(call())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        pool.shutdown(wait=False, cancel_futures=True)
        release.set()
        try:
            await asyncio.wait_for(task, 40)
        except (asyncio.CancelledError, concurrent.futures.CancelledError):
            return "told"
        return "ran"

    assert in_thread(main()) == "told"


# The awaitable is made on the loop's thread


def test_a_factory_that_needs_the_running_loop_works(in_thread: InThread) -> None:
    """asgiref 3.13.0 calls it on the sync thread: "no running event loop"."""

    async def value(x: int) -> int:
        await asyncio.sleep(0)
        return x

    def gathered() -> Any:
        return asyncio.gather(value(1), value(2))

    with pytest.warns(UserWarning, match="non-async-marked"):
        wrapper = async_to_sync(gathered)
    assert list(in_thread(wrapper)) == [1, 2]
    assert list(in_thread(sync_to_async(wrapper)())) == [1, 2]


def test_gather_itself_works(in_thread: InThread) -> None:
    async def value(x: int) -> int:
        await asyncio.sleep(0)
        return x

    with pytest.warns(UserWarning, match="non-async-marked"):
        wrapper = async_to_sync(asyncio.gather)
    assert list(in_thread(lambda: wrapper(value(1), value(2)))) == [1, 2]


@pytest.mark.parametrize("below_a_loop", [True, False])
def test_the_factory_is_called_on_the_thread_of_the_loop(in_thread: InThread, below_a_loop: bool) -> None:
    """asgiref 3.13.0 calls it on the sync thread."""
    where: list[tuple[int, asyncio.AbstractEventLoop]] = []

    async def aident() -> int:
        return ident()

    def factory() -> Any:
        where.append((ident(), asyncio.get_running_loop()))
        return aident()

    with pytest.warns(UserWarning, match="non-async-marked"):
        wrapper = async_to_sync(factory)
    thread = in_thread(sync_to_async(wrapper)()) if below_a_loop else in_thread(wrapper)
    assert [called_on for called_on, _ in where] == [thread]


def test_an_exception_of_the_factory_comes_back(in_thread: InThread) -> None:
    error = ValueError("no awaitable today")

    def factory() -> Any:
        raise error

    with pytest.warns(UserWarning, match="non-async-marked"):
        wrapper = async_to_sync(factory)
    with pytest.raises(ValueError, match="no awaitable today") as caught:
        in_thread(wrapper)
    assert caught.value is error


def test_wrong_arguments_are_a_type_error(in_thread: InThread) -> None:
    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        in_thread(async_to_sync(coroutine_function))
    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        in_thread(sync_to_async(plain_function)())


@pytest.mark.parametrize("result", [None, 42, "text", [1]])
def test_a_factory_that_returns_no_awaitable_is_told(in_thread: InThread, result: Any) -> None:
    """It is a TypeError, whichever side notices."""

    def factory() -> Any:
        return result

    with pytest.warns(UserWarning, match="non-async-marked"):
        wrapper = async_to_sync(factory)
    with pytest.raises(TypeError, match="await"):
        in_thread(wrapper)


def test_an_awaitable_object_works(in_thread: InThread) -> None:
    class Answer:
        def __await__(self) -> Any:
            yield from asyncio.sleep(0).__await__()
            return 42

    with pytest.warns(UserWarning, match="non-async-marked"):
        wrapper = async_to_sync(Answer)
    assert in_thread(wrapper) == 42


def test_async_to_sync_of_a_coroutine_says_what_to_do_instead() -> None:
    """``async_to_sync(f())`` instead of ``async_to_sync(f)()`` is the beginner's slip."""
    coroutine = coroutine_function(1)
    try:
        with pytest.raises(TypeError, match="coroutine"):
            async_to_sync(coroutine)  # type: ignore[call-overload]
    finally:
        coroutine.close()
