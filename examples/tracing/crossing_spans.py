"""A span of OpenTelemetry for each crossing between sync and async code."""

from typing import Any

from opentelemetry import context, trace

from asgi_sync.instrumentation import CrossingFinished, CrossingStarted, Outcome


class CrossingSpans:
    """A listener: `asgi_sync.instrumentation.register(CrossingSpans())`."""

    def __init__(self, tracer: trace.Tracer | None = None) -> None:
        self._tracer = tracer or trace.get_tracer("asgi_sync")
        self._open: dict[int, tuple[trace.Span, Any]] = {}

    def started(self, event: CrossingStarted) -> None:
        attributes = {"crossing.reason": event.reason.value, "crossing.executor": event.executor}
        span = self._tracer.start_span(f"{event.direction.value} {event.name}", attributes=attributes)
        # What is called sees it as the current span: its own spans, and its crossings', become children.
        self._open[event.id] = span, context.attach(trace.set_span_in_context(span))

    def finished(self, event: CrossingFinished) -> None:
        span, token = self._open.pop(event.started.id)
        context.detach(token)
        span.set_attribute("crossing.queued_ms", event.queued * 1000)
        span.set_attribute("crossing.outcome", event.outcome.value)
        if event.place is not None:
            span.set_attribute("thread.name", event.place.thread_name)
        if event.outcome is Outcome.RAISED and event.error is not None:
            span.record_exception(event.error)
            span.set_status(trace.StatusCode.ERROR)
        span.end()
