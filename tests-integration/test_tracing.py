"""The example that makes OpenTelemetry spans of crossings, with the SDK's in-memory exporter."""

import asyncio
import importlib.util
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from _packages import ROOT
from asgi_sync import async_to_sync, instrumentation, sync_to_async

trace = pytest.importorskip("opentelemetry.sdk.trace", reason="opentelemetry-sdk is not installed")
export = pytest.importorskip("opentelemetry.sdk.trace.export")
in_memory = pytest.importorskip("opentelemetry.sdk.trace.export.in_memory_span_exporter")

EXAMPLE = ROOT / "examples" / "tracing" / "crossing_spans.py"


class Traced:
    """A tracer, the listener, and the spans that have ended."""

    def __init__(self) -> None:
        spec = importlib.util.spec_from_file_location("crossing_spans", EXAMPLE)
        assert spec is not None
        assert spec.loader is not None
        example: Any = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(example)
        self._exporter = in_memory.InMemorySpanExporter()
        provider = trace.TracerProvider()
        provider.add_span_processor(export.SimpleSpanProcessor(self._exporter))
        self.tracer = provider.get_tracer("test")
        self.listener = example.CrossingSpans(self.tracer)

    def finished(self) -> list[Any]:
        return list(self._exporter.get_finished_spans())


@pytest.fixture
def traced() -> Iterator[Traced]:
    traced = Traced()
    with instrumentation.listening(traced.listener):
        yield traced


def test_it_is_short() -> None:
    lines = [line for line in EXAMPLE.read_text().splitlines() if line.strip()]
    assert len(lines) <= 30


def test_a_span_for_each_crossing_nested_as_the_calls_are(traced: Traced) -> None:
    def query() -> str:
        with traced.tracer.start_as_current_span("a query"):
            return threading.current_thread().name

    async def inner() -> str:
        return await sync_to_async(query)()

    def view() -> str:
        return async_to_sync(inner)()

    async def request() -> str:
        with traced.tracer.start_as_current_span("a request"):
            return await sync_to_async(view)()

    thread = asyncio.run(request())
    spans = {span.name.rpartition(".")[2]: span for span in traced.finished()}
    assert len(spans) == len(traced.finished())
    assert set(spans) == {"a request", "view", "inner", "query", "a query"}
    for outer, span in (("a request", "view"), ("view", "inner"), ("inner", "query"), ("query", "a query")):
        assert spans[span].parent.span_id == spans[outer].context.span_id
        assert spans[outer].start_time <= spans[span].start_time <= spans[span].end_time
        assert spans[span].end_time <= spans[outer].end_time
    assert spans["view"].name.startswith("sync_to_async ")
    assert spans["inner"].name.startswith("async_to_sync ")
    attributes = spans["query"].attributes
    assert attributes["thread.name"] == thread
    assert attributes["crossing.executor"] == f"thread {thread}"
    assert attributes["crossing.reason"] == instrumentation.Reason.WAITING_FRAME.value
    assert attributes["crossing.outcome"] == "returned"
    assert attributes["crossing.queued_ms"] >= 0


def test_requests_at_the_same_time_are_not_mixed_up(traced: Traced) -> None:
    def work(number: int) -> int:
        return number

    async def request(number: int) -> None:
        with traced.tracer.start_as_current_span(f"request {number}"):
            await sync_to_async(work)(number)

    async def main() -> None:
        await asyncio.gather(*(request(number) for number in range(10)))

    asyncio.run(main())
    spans = traced.finished()
    requests = {span.context.span_id: span for span in spans if span.name.startswith("request ")}
    crossings = [span for span in spans if span.name.startswith("sync_to_async ")]
    assert len(requests) == len(crossings) == 10
    assert {span.parent.span_id for span in crossings} == set(requests)


def test_an_exception_is_in_the_span(traced: Traced) -> None:
    def fails() -> None:
        raise LookupError("no such thing")

    with pytest.raises(LookupError):
        async_to_sync(sync_to_async(fails))()
    spans = traced.finished()
    assert [span.name.partition(" ")[0] for span in spans] == ["sync_to_async", "async_to_sync"]
    for span in spans:
        assert not span.status.is_ok
        assert span.attributes["crossing.outcome"] == "raised"
        (event,) = span.events
        assert event.attributes["exception.message"] == "no such thing"
