"""One request is recorded for who knows the token, and nothing for anybody else."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from asgi_sync import Recording, RecordingMiddleware, async_to_sync, sync_to_async
from asgi_sync import _listeners as listeners_module

pytestmark = pytest.mark.asyncio

METRIC = re.compile(r'([a-z0-9]+);dur=([0-9.]+);desc="((?:[^"\\]|\\.)*)"')


def query() -> None: ...


async def application(scope: Any, receive: Any, send: Any) -> None:
    await sync_to_async(query)()
    await sync_to_async(query)()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x-own", b"1")]})
    await send({"type": "http.response.body", "body": b"done"})


async def get(app: Any, *headers: tuple[bytes, bytes], kind: str = "http") -> list[tuple[bytes, bytes]]:
    """The headers of the response."""
    messages: list[Any] = []

    async def send(message: Any) -> None:
        messages.append(message)

    await app({"type": kind, "path": "/", "headers": list(headers)}, None, send)
    assert messages[-1] == {"type": "http.response.body", "body": b"done"}
    return list(messages[0]["headers"])


async def test_a_request_with_the_token_is_timed() -> None:
    recordings: list[tuple[Any, Recording]] = []
    app = RecordingMiddleware(
        application,
        token="secret",
        on_recording=lambda scope, recording: recordings.append((scope, recording)),
    )
    own, (name, value) = await get(app, (b"accept", b"*/*"), (b"x-record-crossings", b"secret"))
    assert own == (b"x-own", b"1")
    assert name == b"server-timing"
    metrics = {name: (float(duration), text) for name, duration, text in METRIC.findall(value.decode())}
    assert value.decode() == ", ".join(match[0] for match in METRIC.finditer(value.decode()))
    assert metrics["total"][1] == "2 crossings"
    assert metrics["queued"][0] <= metrics["total"][0]
    assert metrics["c1"][1] == f"{__name__}.query 2x sync_to_async"
    ((scope, recording),) = recordings
    assert scope["path"] == "/"
    assert [crossing.name for crossing in recording.crossings] == [f"{__name__}.query"] * 2


@pytest.mark.parametrize(
    ("token", "headers"),
    [
        (None, [(b"x-record-crossings", b"secret")]),
        (None, [(b"x-record-crossings", b"None")]),
        ("secret", []),
        ("secret", [(b"x-record-crossings", b"")]),
        ("secret", [(b"x-record-crossings", b"secre")]),
        ("secret", [(b"x-record-crossings", b"secrets")]),
        ("secret", [(b"x-record", b"secret")]),
    ],
)
async def test_any_other_request_goes_through_untouched(
    token: str | None, headers: list[tuple[bytes, bytes]]
) -> None:
    seen: list[Any] = []

    async def looks(scope: Any, receive: Any, send: Any) -> None:
        seen.append([ears for ears in listeners_module.listeners if isinstance(ears.listener, Recording)])
        await application(scope, receive, send)

    app = RecordingMiddleware(looks, token=token, on_recording=lambda *args: seen.append(args))
    assert await get(app, *headers) == [(b"x-own", b"1")]
    assert seen == [[]]


async def test_other_protocols_go_through_untouched() -> None:
    app = RecordingMiddleware(application, token="secret")
    assert await get(app, (b"x-record-crossings", b"secret"), kind="other") == [(b"x-own", b"1")]

    async def lifespan(scope: Any, receive: Any, send: Any) -> None:
        assert scope == {"type": "lifespan"}

    await RecordingMiddleware(lifespan, token="secret")({"type": "lifespan"}, None, None)  # type: ignore[arg-type]


async def test_another_header() -> None:
    app = RecordingMiddleware(application, token="secret", header="X-Look")
    assert len(await get(app, (b"X-LOOK", b"secret"))) == 2
    assert len(await get(app, (b"x-record-crossings", b"secret"))) == 1


async def test_requests_at_the_same_time_are_told_apart() -> None:
    recordings: list[tuple[Any, Recording]] = []
    barrier = asyncio.Barrier(2)

    async def meets(scope: Any, receive: Any, send: Any) -> None:
        await barrier.wait()
        await application(scope, receive, send)

    app = RecordingMiddleware(meets, token="secret", on_recording=lambda *args: recordings.append(args))
    header = (b"x-record-crossings", b"secret")
    await asyncio.gather(get(app, header), get(app, header))
    assert [len(recording.crossings) for _, recording in recordings] == [2, 2]
    ids = {crossing.started.id for _, recording in recordings for crossing in recording.crossings}
    assert len(ids) == 4


async def test_a_request_that_fails_is_recorded_too() -> None:
    recordings: list[tuple[Any, Recording]] = []

    async def fails(scope: Any, receive: Any, send: Any) -> None:
        await sync_to_async(query)()
        raise LookupError

    app = RecordingMiddleware(fails, token="secret", on_recording=lambda *args: recordings.append(args))
    with pytest.raises(LookupError):
        await get(app, (b"x-record-crossings", b"secret"))
    assert len(recordings[0][1].crossings) == 1


async def test_a_callback_that_fails_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    def broken(scope: Any, recording: Recording) -> None:
        raise LookupError

    app = RecordingMiddleware(application, token="secret", on_recording=broken)
    assert len(await get(app, (b"x-record-crossings", b"secret"))) == 2
    assert "the request that was recorded is not affected" in caplog.text


async def test_names_that_are_no_header_text() -> None:
    def odd() -> None: ...

    odd.__qualname__ = 'say "Ø"\r\nSet-Cookie: no\\' + "x" * 100

    async def calls(scope: Any, receive: Any, send: Any) -> None:
        odd_to_async = sync_to_async(odd)
        await odd_to_async()
        await sync_to_async(async_to_sync(odd_to_async))()
        await application(scope, receive, send)

    app = RecordingMiddleware(calls, token="secret")
    (*_, (_, value)) = await get(app, (b"x-record-crossings", b"secret"))
    assert b"\r" not in value
    assert b"\n" not in value
    assert value.isascii()
    assert len(METRIC.findall(value.decode())) == 2 + 3
    assert len(value) < 8 * 150


@pytest.mark.parametrize("token", [b"secret", 1])
async def test_a_token_that_is_none(token: Any) -> None:
    with pytest.raises(TypeError, match="token must be a string"):
        RecordingMiddleware(application, token=token)


async def test_an_empty_token() -> None:
    with pytest.raises(ValueError, match="an empty token would guard nothing"):
        RecordingMiddleware(application, token="")


@pytest.mark.parametrize("header", ["", "two words", "x:y", "é"])
async def test_a_header_that_is_none(header: str) -> None:
    with pytest.raises(ValueError, match="header must be the name of a request header"):
        RecordingMiddleware(application, token="secret", header=header)
