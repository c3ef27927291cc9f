"""What an instance costs. The figures in time are in benchmarks/server.py; here is what can be counted."""

import asyncio
import gc
import inspect
import sys
import tracemalloc

import pytest

pytestmark = pytest.mark.asyncio


@pytest.mark.skipif(
    not getattr(sys, "_is_gil_enabled", lambda: True)(), reason="objects are larger without the GIL"
)
async def test_an_idle_scope_costs_less_than_4_kib(Hub, until):
    async def application(scope, receive, send):
        while True:
            await receive()

    hub = Hub(application, 3000)
    hub.put("warm", "up")
    await asyncio.sleep(0)
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for number in range(2000):
            hub.get_or_create_application_instance(number, None).put_nowait("x")
        await until(lambda: all(queue["input_queue"].empty() for queue in hub.application_instances.values()))
        gc.collect()
        cost = (tracemalloc.get_traced_memory()[0] - before) / 2000
    finally:
        tracemalloc.stop()
    assert 500 < cost < 4096


async def test_the_style_of_the_application_is_looked_at_once(Hub, until, monkeypatch):
    looked = []
    signature = inspect.signature

    def counted(application):
        looked.append(application)
        return signature(application)

    monkeypatch.setattr(inspect, "signature", counted)

    async def application(scope, receive, send):
        await receive()

    async def another(scope, receive, send):
        await receive()

    hub = Hub(application)
    for number in range(50):
        hub.put(number, "x")
    hub.application = another
    for number in range(50, 100):
        hub.put(number, "x")
    await until(lambda: not hub.application_instances)
    assert looked == [application, another]


async def test_idle_instances_cost_no_turn_of_the_loop(Hub, until):
    async def application(scope, receive, send):
        while True:
            await receive()

    hub = Hub(application, 500)
    async with hub.running():
        for number in range(500):
            hub.put(number, "x")
        await asyncio.sleep(0.05)
        steps = []
        sys.setprofile(
            lambda frame, event, argument: steps.append(frame.f_code.co_name) if event == "call" else None
        )
        try:
            await asyncio.sleep(0.25)
        finally:
            sys.setprofile(None)
    # Three or so rounds of the checker and the loop's own calls; nothing for each of the 500.
    assert len(steps) < 250


async def test_memory_and_tasks_do_not_grow_with_evictions(Hub, until):
    received = 0

    async def application(scope, receive, send):
        nonlocal received
        while True:
            await receive()
            received += 1

    hub = Hub(application, 20)

    async def run(messages):
        wanted = received + messages
        for number in range(messages):
            await hub.dispatch(number % 97, None, "x")
        await until(lambda: received == wanted)
        gc.collect()
        return len(asyncio.all_tasks()), len(gc.get_objects())

    await run(2000)
    tasks, objects = await run(2000)
    tasks_later, objects_later = await run(4000)
    assert tasks_later <= max(tasks, 21)
    assert objects_later < objects + 200
