"""Contract: the public names, their signatures and types, and the attributes of the wrappers.

asgiref 3.13.0 passes every test of the files named ``test_contract_*``: published code relies on each.
"""

import inspect
import pickle
import sys
import weakref
from contextvars import ContextVar
from typing import Any, Generic, get_origin

import pytest

import asgi_sync
from asgi_local import Local
from asgi_sync import (
    AsyncSingleThreadContext,
    AsyncToSync,
    CurrentThreadExecutor,
    SyncToAsync,
    ThreadSensitiveContext,
    async_to_sync,
    iscoroutinefunction,
    markcoroutinefunction,
    sync_to_async,
)


async def coroutine_function(x: int = 1) -> int:
    """Return what it was given."""
    return x


def plain_function(x: int = 1) -> int:
    """Hand back what came in."""
    return x


class Marked:
    """An instance with an async ``__call__`` is async."""

    async def __call__(self) -> None: ...


def parameters(function: Any) -> list[tuple[str, Any, Any]]:
    return [(p.name, p.kind, p.default) for p in inspect.signature(function).parameters.values()]


POSITIONAL = inspect.Parameter.POSITIONAL_OR_KEYWORD
KEYWORD = inspect.Parameter.KEYWORD_ONLY


# The signatures. New keyword-only parameters may follow; the old ones keep names, order and defaults.


def test_sync_to_async_is_a_plain_function_with_keyword_only_options() -> None:
    """OpenTelemetry patches the functions and passes their options by name."""
    assert inspect.isfunction(sync_to_async)
    assert parameters(sync_to_async)[:4] == [
        ("func", POSITIONAL, None),
        ("thread_sensitive", KEYWORD, True),
        ("executor", KEYWORD, None),
        ("context", KEYWORD, None),
    ]
    assert all(kind is KEYWORD for _, kind, _ in parameters(sync_to_async)[4:])


def test_async_to_sync_is_a_plain_function_with_keyword_only_options() -> None:
    assert inspect.isfunction(async_to_sync)
    assert parameters(async_to_sync)[:2] == [
        ("awaitable", POSITIONAL, None),
        ("force_new_loop", KEYWORD, False),
    ]
    assert all(kind is KEYWORD for _, kind, _ in parameters(async_to_sync)[2:])


def test_the_functions_refuse_positional_options() -> None:
    with pytest.raises(TypeError):
        sync_to_async(plain_function, False)  # type: ignore[call-overload]
    with pytest.raises(TypeError):
        async_to_sync(coroutine_function, True)  # type: ignore[call-overload]


def test_the_sync_to_async_class_takes_its_options_positionally() -> None:
    """Copies of channels' DatabaseSyncToAsync call ``super().__init__(func, thread_sensitive, executor)``."""
    assert parameters(SyncToAsync)[:4] == [
        ("func", POSITIONAL, inspect.Parameter.empty),
        ("thread_sensitive", POSITIONAL, True),
        ("executor", POSITIONAL, None),
        ("context", POSITIONAL, None),
    ]
    assert SyncToAsync(plain_function, False, None, None)._thread_sensitive is False


def test_the_async_to_sync_class_takes_its_options_positionally() -> None:
    assert parameters(AsyncToSync)[:2] == [
        ("awaitable", POSITIONAL, inspect.Parameter.empty),
        ("force_new_loop", POSITIONAL, False),
    ]
    assert AsyncToSync(coroutine_function, True).force_new_loop is True


def test_thread_sensitive_context_takes_an_executor_by_keyword() -> None:
    assert parameters(ThreadSensitiveContext)[:1] == [("executor", KEYWORD, None)]


def test_async_single_thread_context_needs_no_arguments() -> None:
    context = AsyncSingleThreadContext()
    assert hasattr(context, "__enter__")
    assert hasattr(context, "__exit__")


def test_current_thread_executor_takes_the_executor_it_is_nested_in() -> None:
    assert parameters(CurrentThreadExecutor)[0][0] == "old_executor"
    executor = CurrentThreadExecutor(None)
    assert callable(executor.submit)
    assert callable(executor.run_until_future)


def test_thread_handler_has_the_classic_parameters() -> None:
    """Overridden in channels and very many copies of it; New Relic wraps it by its parameters."""
    assert list(inspect.signature(SyncToAsync.thread_handler).parameters) == [
        "self",
        "loop",
        "exc_info",
        "task_context",
        "func",
        "args",
        "kwargs",
    ]


def test_main_wrap_has_the_classic_parameters() -> None:
    """New Relic wraps it by its parameters."""
    assert list(inspect.signature(AsyncToSync.main_wrap).parameters) == [
        "self",
        "call_result",
        "exc_info",
        "task_context",
        "context",
        "awaitable",
    ]


# The types.


def test_the_functions_return_instances_of_the_classes() -> None:
    """Django's tests and django-socio-grpc ask with isinstance."""
    assert isinstance(async_to_sync(coroutine_function), AsyncToSync)
    assert isinstance(sync_to_async(plain_function), SyncToAsync)


def test_the_functions_without_a_callable_are_decorator_factories() -> None:
    decorated = async_to_sync(force_new_loop=True)(coroutine_function)
    assert isinstance(decorated, AsyncToSync)
    assert decorated.force_new_loop is True
    other = sync_to_async(thread_sensitive=False)(plain_function)
    assert isinstance(other, SyncToAsync)
    assert other._thread_sensitive is False


@pytest.mark.parametrize("wrapper", [SyncToAsync, AsyncToSync])
def test_the_wrapper_classes_are_generic_in_parameters_and_result(wrapper: type) -> None:
    assert issubclass(wrapper, Generic)  # type: ignore[arg-type]  # Generic is a special form for mypy
    assert get_origin(wrapper[[int], str]) is wrapper  # type: ignore[index]


@pytest.mark.parametrize("wrapper", [SyncToAsync, AsyncToSync])
def test_the_wrapper_classes_have_no_slots(wrapper: type) -> None:
    """Subclasses and agents hang attributes of their own on the instances."""
    assert "__slots__" not in wrapper.__dict__
    function = plain_function if wrapper is SyncToAsync else coroutine_function
    instance = wrapper(function)
    instance.mine = 1
    assert vars(instance)["mine"] == 1
    assert weakref.ref(instance)() is instance


def test_a_subclass_may_set_attributes_before_the_base_initialises() -> None:
    """Copies of DatabaseSyncToAsync do so."""

    class Early(SyncToAsync[Any, Any]):
        def __init__(self, func: Any, alias: str) -> None:
            self.alias = alias
            super().__init__(func)

    class EarlyToo(AsyncToSync[Any, Any]):
        def __init__(self, awaitable: Any, alias: str) -> None:
            self.alias = alias
            super().__init__(awaitable)

    assert Early(plain_function, "default").alias == "default"
    early = EarlyToo(coroutine_function, "default")
    assert early.alias == "default"
    assert early(3) == 3


# The attributes.


def test_attributes_of_a_sync_to_async_wrapper() -> None:
    """WSGI bridges and tests read them."""
    wrapper = SyncToAsync(plain_function, thread_sensitive=False)
    assert wrapper.func is plain_function
    assert wrapper.context is None
    assert wrapper._thread_sensitive is False
    assert wrapper._executor is None
    assert wrapper.__wrapped__ is plain_function
    assert wrapper.__name__ == "plain_function"
    assert wrapper.__doc__ == "Hand back what came in."


def test_attributes_of_an_async_to_sync_wrapper() -> None:
    wrapper = AsyncToSync(coroutine_function)
    assert wrapper.awaitable is coroutine_function
    assert wrapper.force_new_loop is False


def test_a_wrapped_bound_method_lends_its_self() -> None:
    class Service:
        def work(self) -> None: ...

        async def awork(self) -> None: ...

    service = Service()
    assert sync_to_async(service.work).__self__ is service  # type: ignore[attr-defined]
    assert async_to_sync(service.awork).__self__ is service  # type: ignore[attr-defined]


def test_the_wrapper_of_a_method_is_found_in_the_class_dictionary() -> None:
    class Service:
        @sync_to_async
        def work(self) -> int:
            return 1

        @async_to_sync
        async def awork(self) -> int:
            return 1

    assert inspect.isfunction(Service.__dict__["work"].func)
    assert inspect.iscoroutinefunction(Service.__dict__["awork"].awaitable)


def test_a_bound_wrapper_looks_like_the_method() -> None:
    class Service:
        @sync_to_async
        def work(self) -> int:
            """Do the work."""
            return 1

        @async_to_sync
        async def awork(self) -> int:
            """Do the work, slowly."""
            return 1

    service = Service()
    assert (service.work.__name__, service.work.__doc__) == ("work", "Do the work.")
    assert (service.awork.__name__, service.awork.__doc__) == ("awork", "Do the work, slowly.")  # type: ignore[attr-defined]
    assert service.awork() == 1


def test_attributes_of_the_wrapped_function_are_carried_over_but_ours_win() -> None:
    """huey's tasks carry an attribute ``context`` of another meaning."""

    def task() -> int:
        return 1

    task.context = True  # type: ignore[attr-defined]
    task.retries = 3  # type: ignore[attr-defined]
    wrapper = SyncToAsync(task)
    assert wrapper.context is None
    assert wrapper.retries == 3  # type: ignore[attr-defined]


@pytest.mark.asyncio
async def test_a_wrapped_function_with_an_attribute_named_context_can_be_called() -> None:
    def task() -> int:
        return 1

    task.context = True  # type: ignore[attr-defined]
    assert await sync_to_async(task)() == 1


def test_class_level_state_that_others_reach_for() -> None:
    """django-bolt, Airflow, djust and tests read and replace these."""
    assert isinstance(SyncToAsync.context_to_thread_executor, weakref.WeakKeyDictionary)
    assert isinstance(SyncToAsync.thread_sensitive_context, ContextVar)
    assert isinstance(SyncToAsync.deadlock_context, ContextVar)
    assert isinstance(AsyncToSync.executors, Local)
    assert isinstance(AsyncToSync.loop_thread_executors, dict)
    assert SyncToAsync.threadlocal is not None


# What is a coroutine function.


def test_a_sync_to_async_wrapper_is_a_coroutine_function() -> None:
    """Django 6.1 and about ten middleware packages decide by it."""
    assert iscoroutinefunction(sync_to_async(plain_function))


def test_a_bound_sync_to_async_method_is_a_coroutine_function() -> None:
    class Service:
        @sync_to_async
        def work(self) -> None: ...

    assert iscoroutinefunction(Service().work)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="inspect.markcoroutinefunction came in 3.12")
def test_inspect_agrees_that_it_is_a_coroutine_function() -> None:
    class Service:
        @sync_to_async
        def work(self) -> None: ...

    assert inspect.iscoroutinefunction(sync_to_async(plain_function))
    assert inspect.iscoroutinefunction(Service().work)


def test_an_async_to_sync_wrapper_is_no_coroutine_function() -> None:
    wrapper = async_to_sync(coroutine_function)
    assert not iscoroutinefunction(wrapper)
    assert not inspect.iscoroutinefunction(wrapper)


def test_a_function_can_be_marked_as_a_coroutine_function() -> None:
    def returns_awaitable() -> Any: ...

    assert not iscoroutinefunction(returns_awaitable)
    assert markcoroutinefunction(returns_awaitable) is returns_awaitable
    assert iscoroutinefunction(returns_awaitable)


def test_iscoroutinefunction_is_the_interpreters_own_where_it_suffices() -> None:
    assert iscoroutinefunction(coroutine_function)
    assert not iscoroutinefunction(plain_function)
    assert not iscoroutinefunction(42)


# What is refused.


@pytest.mark.parametrize("wrong", [42, "text", coroutine_function, Marked()])
def test_sync_to_async_refuses_what_is_no_sync_callable(wrong: Any) -> None:
    with pytest.raises(TypeError, match=r"^sync_to_async can only be applied to sync functions"):
        sync_to_async(wrong)


def test_an_executor_needs_thread_sensitive_false() -> None:
    with pytest.raises(TypeError, match="executor must not be set when thread_sensitive is True"):
        SyncToAsync(plain_function, executor=object())  # type: ignore[arg-type]


def test_async_to_sync_warns_about_a_callable_that_is_not_marked_as_async() -> None:
    """Users filter the warning by its category and text."""
    with pytest.warns(UserWarning, match="async_to_sync was passed a non-async-marked callable") as seen:
        async_to_sync(plain_function)
    assert len(seen) == 1


def test_async_to_sync_does_not_warn_about_an_instance_with_an_async_call() -> None:
    class Application:
        async def __call__(self) -> int:
            return 5

    assert async_to_sync(Application())() == 5


def test_async_to_sync_of_a_lambda_that_returns_a_coroutine_works_after_the_warning() -> None:
    with pytest.warns(UserWarning, match="non-async-marked"):
        wrapper = async_to_sync(lambda: coroutine_function(7))
    assert wrapper() == 7


def test_every_public_name_is_there() -> None:
    for name in (
        "AsyncSingleThreadContext",
        "AsyncToSync",
        "CurrentThreadExecutor",
        "SyncToAsync",
        "ThreadSensitiveContext",
        "async_to_sync",
        "iscoroutinefunction",
        "markcoroutinefunction",
        "sync_to_async",
    ):
        assert hasattr(asgi_sync, name)


def test_the_classes_can_be_named_in_a_pickle() -> None:
    """Celery and multiprocessing pickle references to functions and classes by their names."""
    for thing in (SyncToAsync, AsyncToSync, sync_to_async, async_to_sync):
        assert pickle.loads(pickle.dumps(thing)) is thing
