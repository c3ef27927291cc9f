"""ASGI 2 and ASGI 3 applications are told apart, and the old become the new."""

import asyncio
import functools
import inspect

import pytest

from asgi_server import compatibility
from asgi_server.compatibility import (
    double_to_single_callable,
    guarantee_single_callable,
    is_double_callable,
    iscoroutinefunction,
    markcoroutinefunction,
)


async def single(scope, receive, send): ...


def double(scope):
    async def instance(receive, send):
        await send((scope, await receive()))

    return instance


class DoubleClass:
    def __init__(self, scope):
        self.scope = scope

    async def __call__(self, receive, send): ...


class SingleObject:
    async def __call__(self, scope, receive, send): ...


class DoubleObject:
    def __call__(self, scope):
        return double(scope)


class Marked:
    """Says what it is, against what it looks like."""

    def __init__(self, **marks):
        self.__dict__.update(marks)

    def __call__(self, *args): ...


@pytest.mark.parametrize(
    ("application", "is_double"),
    [
        (single, False),
        (functools.partial(single), False),
        (SingleObject(), False),
        (SingleObject().__call__, False),
        (double, True),
        (DoubleClass, True),
        (DoubleObject(), True),
        (Marked(_asgi_single_callable=True), False),
        (Marked(_asgi_double_callable=True), True),
        (Marked(_asgi_single_callable=True, _asgi_double_callable=True), False),
        (Marked(_asgi_single_callable=False), True),
        (Marked(), True),
    ],
)
def test_is_double_callable(application, is_double):
    assert is_double_callable(application) is is_double


def test_marks_on_a_class_and_on_a_coroutine_function_count():
    class MarkedClass(DoubleClass):
        _asgi_single_callable = True

    async def marked(scope, receive, send): ...

    marked._asgi_double_callable = True
    assert is_double_callable(MarkedClass) is False
    assert is_double_callable(marked) is True


def test_a_function_marked_as_coroutine_function_is_single():
    @markcoroutinefunction
    def application(scope, receive, send):
        return single(scope, receive, send)

    assert iscoroutinefunction(application)
    assert not is_double_callable(application)


def test_double_to_single_calls_twice_and_passes_errors_on():
    sent = []

    async def receive():
        return "message"

    async def send(message):
        sent.append(message)

    application = double_to_single_callable(double)
    assert inspect.iscoroutinefunction(application)
    assert not is_double_callable(application)
    asyncio.run(application(scope="scope", receive=receive, send=send))
    assert sent == [("scope", "message")]
    with pytest.raises(ZeroDivisionError):
        asyncio.run(double_to_single_callable(lambda scope: 1 / 0)({}, receive, send))


def test_guarantee_single_callable_leaves_single_applications_alone():
    assert guarantee_single_callable(single) is single
    assert not is_double_callable(guarantee_single_callable(DoubleClass))


def test_every_name_of_the_module_is_there():
    assert all(hasattr(compatibility, name) for name in compatibility.__all__)
