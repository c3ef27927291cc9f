"""What a recording keeps, and what it makes of it."""

from __future__ import annotations

import asyncio
import contextvars
import io
import json
import threading
from typing import TYPE_CHECKING, Any

import pytest

from asgi_sync import Recording, async_to_sync, record, sync_to_async
from asgi_sync.instrumentation import Direction, Outcome

if TYPE_CHECKING:
    from pathlib import Path


def query() -> int:
    return threading.get_ident()


async def view() -> int:
    return await sync_to_async(query)()


def fails() -> None:
    raise LookupError


def names(recording: Recording) -> list[str]:
    """Of this module's callables: other tests' threads may still be at work."""
    prefix = f"{__name__}."
    return [each.name.rpartition(".")[2] for each in recording.crossings if each.name.startswith(prefix)]


def test_with_a_with_statement() -> None:
    with record() as recording:
        async_to_sync(view)()
    async_to_sync(view)()
    assert names(recording) == ["view", "query"]
    view_, query_ = recording.crossings
    assert query_.started.parent == view_.started.id
    assert view_.outcome is query_.outcome is Outcome.RETURNED
    assert query_.place is not None
    assert query_.place.thread_id == threading.get_ident()
    assert query_.queued >= 0
    assert 0 <= query_.ran <= view_.ran <= recording.seconds


@pytest.mark.asyncio
async def test_with_an_async_with_statement() -> None:
    async with record() as recording:
        await sync_to_async(query)()
    assert names(recording) == ["query"]


def test_what_all_threads_do_is_recorded() -> None:
    with record() as recording:
        thread = threading.Thread(target=async_to_sync(view))
        thread.start()
        thread.join()
    assert names(recording) == ["view", "query"]


@pytest.mark.asyncio
async def test_only_this_context() -> None:
    """What the block calls and the tasks that it begins; not what others do meanwhile."""

    def mine() -> None: ...
    def others() -> None: ...

    go_on = asyncio.Event()

    async def somebody_else() -> None:
        await go_on.wait()
        await sync_to_async(others)()

    other = asyncio.create_task(somebody_else())
    async with record(only_this_context=True) as recording, record(only_this_context=True) as inner:
        go_on.set()
        await other
        await asyncio.create_task(sync_to_async(async_to_sync(view))())
        await sync_to_async(mine)()
    await sync_to_async(others)()
    assert names(recording) == names(inner) == ["view", "view", "query", "mine"]


def test_a_recording_of_one_context_can_be_left_in_another() -> None:
    recording = record(only_this_context=True)
    contextvars.copy_context().run(recording.__enter__)
    recording.__exit__(None, None, None)
    assert recording.crossings == []


def test_a_recording_is_made_once() -> None:
    recording = record()
    with recording:
        pass
    with pytest.raises(RuntimeError, match="A recording can be made once"):
        recording.__enter__()


def test_what_is_raised_is_named_and_not_kept() -> None:
    with record() as recording:
        with pytest.raises(LookupError):
            async_to_sync(sync_to_async(fails))()
    assert [each.error for each in recording.crossings] == ["LookupError"] * 2
    assert {each.outcome for each in recording.crossings} == {Outcome.RAISED}


@pytest.mark.asyncio
async def test_what_has_not_finished() -> None:
    entered, leave = threading.Event(), threading.Event()

    def holds() -> None:
        entered.set()
        assert leave.wait(20)

    with record() as recording:
        task = asyncio.create_task(sync_to_async(holds)())
        await asyncio.to_thread(entered.wait, 20)
        (open_,) = [each for each in recording.crossings if each.name.endswith("holds")]
        assert open_.outcome is open_.ended is None
        assert open_.began is not None  # that it runs is known all the same
        assert open_.queued == open_.began - open_.started.time
        assert open_.ran == open_.time - open_.began
        assert open_.place is not None
    text = str(recording)
    leave.set()
    await task
    assert str(recording) == text  # it stays what it was at the end of the block
    assert "1 not finished" in text.splitlines()[0]


def test_a_limit() -> None:
    with record(limit=3) as recording:
        for _ in range(3):
            async_to_sync(view)()
    assert len(recording.crossings) == 3
    assert recording.dropped >= 3
    assert f"{recording.dropped} more not kept" in str(recording)
    with pytest.raises(ValueError, match="limit must be a number of crossings, 1 or more, not 0"):
        record(limit=0)


def test_callables() -> None:
    with record() as recording:
        for _ in range(3):
            async_to_sync(view)()
        with pytest.raises(LookupError):
            async_to_sync(sync_to_async(fails))()
    by_name = {(each.name, each.direction): each for each in recording.callables()}
    summary = by_name[f"{__name__}.query", Direction.SYNC_TO_ASYNC]
    crossings = [each for each in recording.crossings if each.name == f"{__name__}.query"]
    assert (summary.count, summary.failed) == (3, 0)
    assert summary.total_queued == sum(each.queued for each in crossings)
    assert summary.worst_queued == max(each.queued for each in crossings)
    assert summary.total_ran == sum(each.ran for each in crossings)
    assert summary.worst_ran == max(each.ran for each in crossings)
    assert summary.threads == (threading.current_thread().name,)
    assert by_name[f"{__name__}.fails", Direction.SYNC_TO_ASYNC].failed == 1
    total = [each.total_queued + each.total_ran for each in recording.callables()]
    assert total == sorted(total, reverse=True)


async def a_wait_behind(recording: Recording) -> None:
    """`query` waits for the sensitive thread, which `holds` occupies after it has waited for `view` itself."""
    entered, leave = threading.Event(), threading.Event()

    def holds() -> None:
        async_to_sync(view)()
        entered.set()
        assert leave.wait(20)

    first = asyncio.create_task(sync_to_async(holds)())
    await asyncio.to_thread(entered.wait, 20)
    count = len(recording.crossings)
    second = asyncio.create_task(sync_to_async(query)())
    while len(recording.crossings) == count:
        await asyncio.sleep(0)
    started = recording.crossings[-1].started.time
    while asyncio.get_running_loop().time() < started + 0.002:  # long enough to be told of
        await asyncio.sleep(0)
    leave.set()
    await asyncio.gather(first, second)


def test_critical_waits_name_what_held_the_thread() -> None:
    with record() as recording:
        asyncio.run(a_wait_behind(recording))
    wait = next(wait for wait in recording.critical_waits(at_least=0.0005) if wait.behind)
    assert wait.crossing.name == f"{__name__}.query"
    assert wait.seconds == wait.crossing.queued >= 0.001
    held, seconds = wait.behind[0]
    assert held.name.endswith("holds")
    assert 0 < seconds <= wait.seconds
    assert "waited for asgi-sync-worker-" in str(recording)
    assert f"behind {held.name}" in str(recording)
    assert recording.critical_waits(limit=0) == []
    assert recording.critical_waits(at_least=1000) == []


def test_a_thread_that_waits_for_async_code_is_not_what_others_wait_for() -> None:
    async def main() -> None:
        async def asks() -> None:
            await sync_to_async(query)()

        def waits() -> None:
            async_to_sync(asks)()

        await sync_to_async(waits)()

    with record() as recording:
        asyncio.run(main())
    for wait in recording.critical_waits(at_least=0):
        for each, seconds in wait.behind:
            assert not each.name.endswith("waits") or seconds < wait.seconds


def test_summary(capsys: pytest.CaptureFixture[str]) -> None:
    with record() as recording:
        async_to_sync(view)()
    recording.summary()
    printed = capsys.readouterr().out
    assert printed == f"{recording}\n"
    lines = printed.splitlines()
    assert lines[0].startswith("2 crossings in ")
    assert lines[2].split() == ["callable", "count", "failed", "queued", "worst", "ran", "worst", "on"]
    row = next(line for line in lines if line.startswith(f"{__name__}.query")).split()
    assert row[1:4] == ["to", "thread", "1"]
    assert row[-1] == threading.current_thread().name
    file = io.StringIO()
    recording.summary(file)
    assert file.getvalue() == printed


def test_an_empty_recording(tmp_path: Path) -> None:
    with record(only_this_context=True) as recording:
        pass
    assert str(recording).startswith("0 crossings in ")
    assert recording.callables() == recording.critical_waits() == []
    recording.write_chrome_trace(tmp_path / "trace.json")
    document = json.loads((tmp_path / "trace.json").read_text())
    assert [event["ph"] for event in document["traceEvents"]] == ["M"]


# The trace file.


def trace_of(recording: Recording, folder: Path) -> list[dict[str, Any]]:
    recording.write_chrome_trace(folder / "trace.json")
    events: list[dict[str, Any]] = json.loads((folder / "trace.json").read_text(encoding="utf-8"))[
        "traceEvents"
    ]
    return events


def a_busy_recording() -> Recording:
    """Three views at a time, in one loop, nested twice."""

    async def inner() -> int:
        return await sync_to_async(query)()

    def middle() -> int:
        return async_to_sync(inner)()

    async def main() -> None:
        await asyncio.gather(*(sync_to_async(middle)() for _ in range(3)))
        await sync_to_async(query, thread_sensitive=False)()
        with pytest.raises(LookupError):
            await sync_to_async(fails)()

    with record() as recording:
        asyncio.run(main())
    return recording


def test_each_event_has_what_the_format_asks_for(tmp_path: Path) -> None:
    recording = a_busy_recording()
    events = trace_of(recording, tmp_path)
    for event in events:
        assert {"ph", "pid", "tid", "name"} <= event.keys()
        if event["ph"] != "M":
            assert event["ts"] >= 0
        if event["ph"] == "X":
            assert event["dur"] >= 0
            assert event["ts"] + event["dur"] <= recording.seconds * 1e6 + 1
    assert {event["ph"] for event in events} == {"M", "X", "s", "f"}
    runs = [event for event in events if event.get("cat") == "run"]
    assert len(runs) == len(recording.crossings) == 11
    failed = next(event for event in runs if event["name"].endswith("fails"))
    assert failed["args"]["outcome"] == "raised"
    assert failed["args"]["error"] == "LookupError"


def test_a_row_for_each_thread_and_loop(tmp_path: Path) -> None:
    recording = a_busy_recording()
    events = trace_of(recording, tmp_path)
    rows = {event["tid"]: event["args"]["name"] for event in events if event["name"] == "thread_name"}
    assert len(set(rows.values())) == len(rows)
    for crossing in recording.crossings:
        assert crossing.place is not None
        assert any(name.startswith(crossing.place.thread_name) for name in rows.values())
    loops = {crossing.started.caller.loop for crossing in recording.crossings} - {None}
    assert len(loops) == 1
    main = threading.current_thread().name
    assert rows[1] == f"{main}, loop {loops.pop()}"
    assert {event["tid"] for event in events if event["ph"] != "M"} == set(rows)


def test_slices_of_a_row_are_nested_or_apart(tmp_path: Path) -> None:
    """Viewers draw nothing sensible otherwise."""
    by_row: dict[int, list[tuple[float, float]]] = {}
    for event in trace_of(a_busy_recording(), tmp_path):
        if event["ph"] == "X":
            by_row.setdefault(event["tid"], []).append((event["ts"], event["ts"] + event["dur"]))
    assert len(by_row) >= 3
    rounding = 0.002
    for spans in by_row.values():
        for begin, end in spans:
            for other_begin, other_end in spans:
                apart = end <= other_begin + rounding or other_end <= begin + rounding
                inside = begin >= other_begin - rounding and end <= other_end + rounding
                around = other_begin >= begin - rounding and other_end <= end + rounding
                assert apart or inside or around


def test_arrows_lead_from_slice_to_slice(tmp_path: Path) -> None:
    recording = a_busy_recording()
    events = trace_of(recording, tmp_path)
    slices = [event for event in events if event["ph"] == "X"]
    arrows: dict[int, dict[str, dict[str, Any]]] = {}
    for event in events:
        if event["ph"] in "sf":
            arrows.setdefault(event["id"], {})[event["ph"]] = event
            assert any(
                each["tid"] == event["tid"]
                and each["ts"] - 0.002 <= event["ts"] <= each["ts"] + each["dur"] + 0.002
                for each in slices
            )
    assert len(arrows) == 2 * len(recording.crossings)
    for ends in arrows.values():
        assert ends["s"]["ts"] <= ends["f"]["ts"]
        assert ends["s"]["tid"] != ends["f"]["tid"]
        assert ends["f"]["bp"] == "e"
