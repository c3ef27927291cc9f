import asyncio
import inspect
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import pytest

from asgiref.timeout import timeout

pytestmark = pytest.mark.asyncio


async def forever() -> None:
    await asyncio.Event().wait()


@pytest.fixture
def ignore_deprecation() -> Iterator[None]:
    with pytest.warns(DeprecationWarning, match=r"asyncio\.timeout"):
        yield


used = pytest.mark.usefixtures("ignore_deprecation")


async def test_is_deprecated_where_it_is_used() -> None:
    with pytest.warns(DeprecationWarning, match=r"asyncio\.timeout") as caught:
        timeout(1)
    assert [warning.filename for warning in caught] == [__file__]


async def test_loop_argument_is_deprecated_where_it_is_used() -> None:
    with pytest.warns(DeprecationWarning, match="deprecated") as caught:
        timeout(1, loop=asyncio.get_running_loop())
    assert [warning.filename for warning in caught] == [__file__, __file__]
    assert "loop argument" in str(caught[1].message)


@used
async def test_block_that_is_late_raises_timeout_error_from_the_cancellation() -> None:
    limit = timeout(0.001)
    with pytest.raises(TimeoutError) as caught:
        async with limit:
            await forever()
    assert isinstance(caught.value.__cause__, asyncio.CancelledError)
    assert limit.expired


@used
async def test_plain_with_statement() -> None:
    limit = timeout(0.001)
    with pytest.raises(TimeoutError), limit:
        await forever()
    assert limit.expired


@used
async def test_block_that_is_in_time_is_left_alone() -> None:
    async with timeout(60) as limit:
        await asyncio.sleep(0)
        assert not limit.expired
        assert 59 < (limit.remaining or 0) <= 60
    assert not limit.expired


@used
async def test_timer_does_not_outlive_the_block() -> None:
    async with timeout(0.001):
        pass
    await asyncio.sleep(0.01)  # would be cancelled here
    assert asyncio.current_task() is not None


@used
async def test_none_sets_no_limit() -> None:
    async with timeout(None) as limit:
        await asyncio.sleep(0)
        assert limit.remaining is None
    assert not limit.expired


@used
@pytest.mark.parametrize("seconds", [0, -1])
async def test_no_time_at_all_cancels_the_first_suspension(seconds: float) -> None:
    reached = []
    with pytest.raises(TimeoutError):
        async with timeout(seconds):
            reached.append("before")
            await asyncio.sleep(0)
            reached.append("after")
    assert reached == ["before"]


@used
async def test_no_time_at_all_lets_a_block_without_suspension_through() -> None:
    with timeout(0) as limit:
        pass
    await asyncio.sleep(0)
    assert not limit.expired


@used
async def test_other_exceptions_pass() -> None:
    with pytest.raises(LookupError):
        async with timeout(60):
            raise LookupError


@used
async def test_cancellation_from_outside_stays_a_cancellation() -> None:
    inside = asyncio.Event()

    async def block() -> None:
        async with timeout(60):
            inside.set()
            await forever()

    task = asyncio.create_task(block())
    await inside.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@used
async def test_cancellation_from_outside_wins_over_a_timeout_at_the_same_time() -> None:
    inside = asyncio.Event()

    async def block() -> None:
        async with timeout(0.001) as limit:
            inside.set()
            try:
                await forever()
            finally:
                # The timeout has cancelled us; now somebody else does, before we are out of the block.
                assert limit.expired
                task.cancel()

    task = asyncio.create_task(block())
    await inside.wait()
    with pytest.raises(asyncio.CancelledError):
        await task


@used
async def test_task_group_around_an_expired_block_goes_on() -> None:
    """The request to cancel is taken back: nothing around the block believes that the task is cancelled."""
    async with asyncio.TaskGroup() as group:
        with pytest.raises(TimeoutError):
            async with timeout(0.001):
                await forever()
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0
        result = group.create_task(asyncio.sleep(0, "done"))
    assert result.result() == "done"


@used
async def test_block_that_swallows_the_cancellation_is_told_by_expired() -> None:
    async with timeout(0.001) as limit:
        try:
            await forever()
        except asyncio.CancelledError:
            pass
    assert limit.expired


@used
async def test_one_timeout_is_for_one_block_at_a_time() -> None:
    async with timeout(60) as limit:
        with pytest.raises(RuntimeError, match="in use"):
            limit.__enter__()


@used
async def test_outside_a_task_there_is_nothing_to_cancel() -> None:
    limit = timeout(60)
    outcome: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()

    def enter() -> None:
        try:
            limit.__enter__()
        except BaseException as error:
            outcome.set_result(error)
        else:
            outcome.set_result(None)

    asyncio.get_running_loop().call_soon(enter)
    error = await outcome
    assert isinstance(error, RuntimeError)
    assert "task" in str(error)


@used
async def test_a_fraction_of_a_second_is_a_number() -> None:
    async with timeout(Fraction(60)) as limit:  # type: ignore[arg-type] # wider than the declared type
        assert limit.remaining is not None


@used
@pytest.mark.parametrize("wrong", ["5", b"5", object(), [5]])
async def test_what_is_no_number_is_refused_at_once(wrong: Any) -> None:
    with pytest.raises(TypeError, match="number of seconds"):
        timeout(wrong)


@used
async def test_nan_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="NaN"):
        timeout(float("nan"))


@used
async def test_needs_a_running_loop() -> None:
    with pytest.raises(RuntimeError, match="no running event loop"):
        await asyncio.to_thread(timeout, 1)


async def test_is_a_class() -> None:
    assert inspect.isclass(timeout)
