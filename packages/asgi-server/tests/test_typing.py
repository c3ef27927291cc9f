"""asgi_server.typing against the specification, as far as it can be seen at run time."""

import typing

import pytest

import asgi_server.typing as types

ASGIREF_NAMES = [
    "ASGIVersions",
    "HTTPScope",
    "WebSocketScope",
    "LifespanScope",
    "WWWScope",
    "Scope",
    "HTTPRequestEvent",
    "HTTPResponseStartEvent",
    "HTTPResponseBodyEvent",
    "HTTPResponseTrailersEvent",
    "HTTPResponsePathsendEvent",
    "HTTPServerPushEvent",
    "HTTPDisconnectEvent",
    "WebSocketConnectEvent",
    "WebSocketAcceptEvent",
    "WebSocketReceiveEvent",
    "WebSocketSendEvent",
    "WebSocketResponseStartEvent",
    "WebSocketResponseBodyEvent",
    "WebSocketDisconnectEvent",
    "WebSocketCloseEvent",
    "LifespanStartupEvent",
    "LifespanShutdownEvent",
    "LifespanStartupCompleteEvent",
    "LifespanStartupFailedEvent",
    "LifespanShutdownCompleteEvent",
    "LifespanShutdownFailedEvent",
    "ASGIReceiveEvent",
    "ASGISendEvent",
    "ASGIReceiveCallable",
    "ASGISendCallable",
    "ASGI2Protocol",
    "ASGI2Application",
    "ASGI3Application",
    "ASGIApplication",
]

# Of each TypedDict: the mandatory keys, then the optional ones.
KEYS = {
    "ASGIVersions": ("version", "spec_version"),
    "TLSExtension": (
        "server_cert tls_version cipher_suite",
        "client_cert_chain client_cert_name client_cert_error",
    ),
    "HTTPScope": (
        "type asgi http_version method path query_string headers",
        "scheme raw_path root_path client server state extensions",
    ),
    "WebSocketScope": (
        "type asgi path headers",
        "http_version scheme raw_path query_string root_path client server subprotocols state extensions",
    ),
    "LifespanScope": ("type asgi", "state"),
    "HTTPRequestEvent": ("type", "body more_body"),
    "HTTPDisconnectEvent": ("type", ""),
    "HTTPResponseStartEvent": ("type status", "headers trailers"),
    "HTTPResponseBodyEvent": ("type", "body more_body"),
    "HTTPResponseTrailersEvent": ("type headers", "more_trailers"),
    "HTTPResponsePathsendEvent": ("type path", ""),
    "HTTPResponseZeroCopySendEvent": ("type file", "offset count more_body"),
    "HTTPResponseEarlyHintEvent": ("type links", ""),
    "HTTPServerPushEvent": ("type path headers", ""),
    "HTTPResponseDebugEvent": ("type info", ""),
    "WebSocketConnectEvent": ("type", ""),
    "WebSocketAcceptEvent": ("type", "subprotocol headers"),
    "WebSocketReceiveEvent": ("type", "bytes text"),
    "WebSocketSendEvent": ("type", "bytes text"),
    "WebSocketDisconnectEvent": ("type code", "reason"),
    "WebSocketCloseEvent": ("type", "code reason"),
    "WebSocketResponseStartEvent": ("type status", "headers"),
    "WebSocketResponseBodyEvent": ("type", "body more_body"),
    "LifespanStartupEvent": ("type", ""),
    "LifespanShutdownEvent": ("type", ""),
    "LifespanStartupCompleteEvent": ("type", ""),
    "LifespanStartupFailedEvent": ("type", "message"),
    "LifespanShutdownCompleteEvent": ("type", ""),
    "LifespanShutdownFailedEvent": ("type", "message"),
}


def test_all_names_of_asgiref_are_there():
    assert len(ASGIREF_NAMES) == 35
    assert set(ASGIREF_NAMES) | {"HTTPResponseDebugEvent"} <= set(types.__all__)


def test_every_typed_dict_is_in_the_table():
    assert {name for name in types.__all__ if typing.is_typeddict(getattr(types, name))} == set(KEYS)


@pytest.mark.parametrize("name", KEYS)
def test_optional_keys_are_not_required(name):
    required, optional = (set(keys.split()) for keys in KEYS[name])
    assert getattr(types, name).__required_keys__ == required
    assert getattr(types, name).__optional_keys__ == optional


def test_every_event_is_in_exactly_one_union():
    received = set(typing.get_args(types.ASGIReceiveEvent))
    sent = set(typing.get_args(types.ASGISendEvent))
    events = {getattr(types, name) for name in KEYS if name.endswith("Event")}
    assert received | sent == events
    assert not received & sent


def test_type_literals_are_unique():
    literals = [
        typing.get_args(typing.get_type_hints(getattr(types, name))["type"])
        for name in KEYS
        if name.endswith(("Event", "Scope"))
    ]
    assert len(set(literals)) == len(literals)
    assert all(len(literal) == 1 for literal in literals)
