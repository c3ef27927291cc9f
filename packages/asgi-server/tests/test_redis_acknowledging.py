"""Acknowledgements, without a Redis: what goes out, and when. With one they are in tests-integration/."""

import asyncio
from collections import Counter

import pytest

pytest.importorskip("redis", reason="redis-py, the extra of this package, is not installed")

from asgi_server._redis_acknowledging import Acknowledgements
from asgi_server.redis_streams import Layout

pytestmark = pytest.mark.asyncio


class Pipeline:
    """Stands in for the client as well: counts what it is told, and lets the test say when it is done."""

    def __init__(self):
        self.gate = asyncio.Event()
        self.reached = asyncio.Event()
        self.errors = []
        self.copied = Counter()
        self.acknowledged = Counter()

    def pipeline(self, transaction):
        return self

    async def __aenter__(self):
        return self

    async def __aexit__(self, *error):
        pass

    def xadd(self, stream, fields, **options):
        self.copied[stream, fields[b"message"]] += 1

    def xack(self, stream, group, *entries):
        self.acknowledged.update((stream, entry) for entry in entries)

    async def execute(self):
        self.reached.set()
        await self.gate.wait()
        if self.errors:
            raise self.errors.pop()


@pytest.fixture
def made():
    pipeline = Pipeline()
    return pipeline, Acknowledgements(pipeline, Layout("x", 4), "asgi", failed_maxlen=10, pause=0)


async def test_two_flushes_at_once_copy_a_failed_message_once(made):
    pipeline, acknowledgements = made
    acknowledgements.add_failed((1, b"1-0"), {b"message": b"m"})
    acknowledgements.add((2, b"2-0"))
    flushes = [asyncio.create_task(acknowledgements.flush()) for _ in range(2)]
    await pipeline.reached.wait()
    for _ in range(5):
        await asyncio.sleep(0)  # the second one goes as far as it can
    pipeline.gate.set()
    await asyncio.gather(*flushes)
    assert pipeline.copied == {("x:failed", b"m"): 1}
    assert pipeline.acknowledged == {("x:{1}:stream", b"1-0"): 1, ("x:{2}:stream", b"2-0"): 1}
    assert (1, b"1-0") not in acknowledgements
    assert (2, b"2-0") not in acknowledgements


async def test_what_comes_during_a_flush_is_kept_for_the_next(made):
    pipeline, acknowledgements = made
    acknowledgements.add((1, b"1-0"))
    flush = asyncio.create_task(acknowledgements.flush())
    await pipeline.reached.wait()
    acknowledgements.add((1, b"2-0"))
    pipeline.gate.set()
    await flush
    assert (1, b"1-0") not in acknowledgements
    assert (1, b"2-0") in acknowledgements
    await acknowledgements.flush()
    assert set(pipeline.acknowledged.values()) == {1}


async def test_what_could_not_be_sent_is_tried_again(made, caplog):
    pipeline, acknowledgements = made
    pipeline.gate.set()
    pipeline.errors = [ConnectionError("gone")]
    running = asyncio.create_task(acknowledgements.run())
    acknowledgements.add((1, b"1-0"))
    while (1, b"1-0") in acknowledgements:
        await asyncio.sleep(0)
    assert pipeline.acknowledged == {("x:{1}:stream", b"1-0"): 2}
    assert "could not acknowledge, will try again: ConnectionError('gone')" in caplog.text
    acknowledgements.end()
    running.cancel()
    await asyncio.wait({running})
