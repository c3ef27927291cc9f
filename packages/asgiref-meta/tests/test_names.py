"""Every name of asgiref 3.13.0 is there, and is the very object of the package that owns it."""

import importlib
import inspect
import logging
from collections.abc import Callable
from typing import Any

import pytest

import asgi_local
import asgi_server.compatibility
import asgi_server.server
import asgi_server.testing
import asgi_server.typing
import asgi_sync
import asgi_wsgi
import asgiref
import asgiref.compatibility
import asgiref.current_thread_executor
import asgiref.local
import asgiref.server
import asgiref.sync
import asgiref.testing
import asgiref.timeout
import asgiref.typing
import asgiref.wsgi

MODULES = [
    "compatibility",
    "current_thread_executor",
    "local",
    "server",
    "sync",
    "testing",
    "timeout",
    "typing",
    "wsgi",
]

TYPING_NAMES = [
    "ASGI2Application",
    "ASGI2Protocol",
    "ASGI3Application",
    "ASGIApplication",
    "ASGIReceiveCallable",
    "ASGIReceiveEvent",
    "ASGISendCallable",
    "ASGISendEvent",
    "ASGIVersions",
    "HTTPDisconnectEvent",
    "HTTPRequestEvent",
    "HTTPResponseBodyEvent",
    "HTTPResponseDebugEvent",
    "HTTPResponsePathsendEvent",
    "HTTPResponseStartEvent",
    "HTTPResponseTrailersEvent",
    "HTTPScope",
    "HTTPServerPushEvent",
    "LifespanScope",
    "LifespanShutdownCompleteEvent",
    "LifespanShutdownEvent",
    "LifespanShutdownFailedEvent",
    "LifespanStartupCompleteEvent",
    "LifespanStartupEvent",
    "LifespanStartupFailedEvent",
    "Scope",
    "WWWScope",
    "WebSocketAcceptEvent",
    "WebSocketCloseEvent",
    "WebSocketConnectEvent",
    "WebSocketDisconnectEvent",
    "WebSocketReceiveEvent",
    "WebSocketResponseBodyEvent",
    "WebSocketResponseStartEvent",
    "WebSocketScope",
    "WebSocketSendEvent",
]

OWNERS = [
    (asgiref.sync, "sync_to_async", asgi_sync),
    (asgiref.sync, "async_to_sync", asgi_sync),
    (asgiref.sync, "SyncToAsync", asgi_sync),
    (asgiref.sync, "AsyncToSync", asgi_sync),
    (asgiref.sync, "ThreadSensitiveContext", asgi_sync),
    (asgiref.sync, "AsyncSingleThreadContext", asgi_sync),
    (asgiref.sync, "iscoroutinefunction", asgi_sync),
    (asgiref.sync, "markcoroutinefunction", asgi_sync),
    (asgiref.sync, "CurrentThreadExecutor", asgi_sync),
    (asgiref.sync, "Local", asgi_local),
    (asgiref.local, "Local", asgi_local),
    (asgiref.current_thread_executor, "CurrentThreadExecutor", asgi_sync),
    (asgiref.compatibility, "is_double_callable", asgi_server.compatibility),
    (asgiref.compatibility, "double_to_single_callable", asgi_server.compatibility),
    (asgiref.compatibility, "guarantee_single_callable", asgi_server.compatibility),
    (asgiref.compatibility, "iscoroutinefunction", asgi_sync),
    (asgiref.server, "StatelessServer", asgi_server.server),
    (asgiref.server, "guarantee_single_callable", asgi_server.compatibility),
    (asgiref.testing, "ApplicationCommunicator", asgi_server.testing),
    (asgiref.testing, "guarantee_single_callable", asgi_server.compatibility),
    (asgiref.wsgi, "WsgiToAsgi", asgi_wsgi),
    (asgiref.wsgi, "WsgiToAsgiInstance", asgi_wsgi),
    (asgiref.wsgi, "AsyncToSync", asgi_sync),
    (asgiref.wsgi, "sync_to_async", asgi_sync),
    *((asgiref.typing, name, asgi_server.typing) for name in TYPING_NAMES),
]


HERE = {"asgiref.timeout": {"timeout"}, "asgiref.server": {"logger"}}
"""What is no object of another package."""


@pytest.mark.parametrize(
    ("module", "name", "owner"), OWNERS, ids=[f"{module.__name__}.{name}" for module, name, _ in OWNERS]
)
def test_name_is_the_object_of_its_owner(module: Any, name: str, owner: Any) -> None:
    assert getattr(module, name) is getattr(owner, name)
    assert name in module.__all__


@pytest.mark.parametrize("name", MODULES)
def test_all_names_exactly_what_is_offered(name: str) -> None:
    module = importlib.import_module(f"asgiref.{name}")
    assert sorted(module.__all__) == sorted(set(module.__all__))
    listed = {name for owner, name, _ in OWNERS if owner is module} | HERE.get(module.__name__, set())
    assert set(module.__all__) == listed
    public = {name for name in vars(module) if not name.startswith("_")}
    imported = {name for name in public if inspect.ismodule(getattr(module, name))} | {"TracebackType"}
    assert public - imported == listed


def test_typing_has_the_35_names_and_the_debug_event() -> None:
    assert len(TYPING_NAMES) == 36


def test_version_is_the_one_of_the_interface_that_is_offered() -> None:
    assert asgiref.__version__ == "3.13.0"


def test_server_logger_can_be_used_as_a_logger() -> None:
    assert asgiref.server.logger is logging.getLogger("asgiref.server")


def parameters(function: Callable[..., Any]) -> list[str]:
    """Names, kinds and defaults as they are written in a signature, without the types."""
    signature = inspect.signature(function)
    bare = [parameter.replace(annotation=parameter.empty) for parameter in signature.parameters.values()]
    return [str(parameter) for parameter in bare if parameter.name != "self"]


SIGNATURES: list[tuple[Callable[..., Any], list[str], list[str]]] = [
    (
        asgiref.sync.sync_to_async,
        ["func=None", "thread_sensitive=True", "executor=None", "context=None"],
        ["thread_sensitive", "executor", "context"],
    ),
    (asgiref.sync.async_to_sync, ["awaitable=None", "force_new_loop=False"], ["force_new_loop"]),
    (
        asgiref.sync.SyncToAsync.__init__,
        ["func", "thread_sensitive=True", "executor=None", "context=None"],
        [],
    ),
    (
        asgiref.sync.SyncToAsync.thread_handler,
        ["loop", "exc_info", "task_context", "func", "*args", "**kwargs"],
        [],
    ),
    (asgiref.sync.AsyncToSync.__init__, ["awaitable", "force_new_loop=False"], []),
    (asgiref.sync.ThreadSensitiveContext.__init__, ["executor=None"], ["executor"]),
    (asgiref.sync.AsyncSingleThreadContext.__init__, [], []),
    (asgiref.current_thread_executor.CurrentThreadExecutor.__init__, ["old_executor"], []),
    (asgiref.current_thread_executor.CurrentThreadExecutor.submit, ["fn", "*args", "**kwargs"], []),
    (asgiref.current_thread_executor.CurrentThreadExecutor.run_until_future, ["future"], []),
    (asgiref.compatibility.is_double_callable, ["application"], []),
    (asgiref.compatibility.double_to_single_callable, ["application"], []),
    (asgiref.compatibility.guarantee_single_callable, ["application"], []),
    (asgiref.server.StatelessServer.run, [], []),
    (asgiref.server.StatelessServer.arun, [], []),
    (asgiref.server.StatelessServer.handle, [], []),
    (asgiref.server.StatelessServer.application_send, ["scope", "message"], []),
    (asgiref.server.StatelessServer.get_or_create_application_instance, ["scope_id", "scope"], []),
    (asgiref.server.StatelessServer.delete_oldest_application_instance, [], []),
    (asgiref.server.StatelessServer.delete_application_instance, ["scope_id"], []),
    (asgiref.server.StatelessServer.application_checker, [], []),
    (asgiref.server.StatelessServer.application_exception, ["exception", "application_details"], []),
    (asgiref.testing.ApplicationCommunicator.wait, ["timeout=1"], []),
    (asgiref.testing.ApplicationCommunicator.stop, ["exceptions=True"], []),
    (asgiref.testing.ApplicationCommunicator.send_input, ["message"], []),
    (asgiref.testing.ApplicationCommunicator.receive_output, ["timeout=1"], []),
    (asgiref.testing.ApplicationCommunicator.receive_nothing, ["timeout=0.1", "interval=0.01"], []),
    (asgiref.wsgi.WsgiToAsgiInstance.build_environ, ["scope", "body"], []),
    (asgiref.wsgi.WsgiToAsgiInstance.start_response, ["status", "response_headers", "exc_info=None"], []),
    (asgiref.timeout.timeout, ["timeout", "loop=None"], ["loop"]),
    (asgiref.server.StatelessServer, ["application", "max_applications=1000"], []),
    (asgiref.testing.ApplicationCommunicator, ["application", "scope"], []),
    (asgiref.wsgi.WsgiToAsgi, ["wsgi_application", "duplicate_header_limit=100"], []),
    (asgiref.wsgi.WsgiToAsgiInstance, ["wsgi_application", "duplicate_header_limit=100"], []),
]


@pytest.mark.parametrize(
    ("function", "expected", "by_keyword"), SIGNATURES, ids=[f.__qualname__ for f, *_ in SIGNATURES]
)
def test_signature(function: Callable[..., Any], expected: list[str], by_keyword: list[str]) -> None:
    """There may be more parameters than asgiref has, by keyword."""
    assert parameters(function)[: len(expected)] == expected
    found = [p for p in inspect.signature(function).parameters.values() if p.name != "self"]
    assert [p.name for p in found[: len(expected)] if p.kind is p.KEYWORD_ONLY] == by_keyword
    assert {p.kind for p in found[len(expected) :]} <= {inspect.Parameter.KEYWORD_ONLY}


def test_local_takes_thread_critical_by_position() -> None:
    parameter = next(iter(inspect.signature(asgiref.local.Local).parameters.values()))
    assert parameter.name == "thread_critical"
    assert parameter.kind is parameter.POSITIONAL_OR_KEYWORD
    assert parameter.default is False
    assert isinstance(asgiref.local.Local(True), asgiref.local.Local)


def test_checker_interval_is_a_class_attribute() -> None:
    assert asgiref.server.StatelessServer.application_checker_interval == 0.1


def test_local_chooses_from_two_classes() -> None:
    assert type(asgiref.local.Local()) is asgiref.local._DefaultLocal
    assert type(asgiref.local.Local(True)) is asgiref.local._ThreadCriticalLocal
