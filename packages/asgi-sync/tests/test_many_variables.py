"""The cost of a crossing does not grow with the number of context variables, and no change is missed."""

import asyncio
import random
from contextvars import Context, ContextVar
from typing import Any

import pytest

from asgi_sync import _context, async_to_sync, sync_to_async

VARIABLES: list[ContextVar[Any]] = [ContextVar(f"many_{number}") for number in range(2_000)]


def context_with(count: int) -> Context:
    context = Context()
    for variable in VARIABLES[:count]:
        context.run(variable.set, object())
    return context


def compared_one_by_one(context: Context, baseline: Context) -> dict[ContextVar[Any], Any]:
    missing = object()
    return {
        variable: value for variable, value in context.items() if baseline.get(variable, missing) is not value
    }


@pytest.mark.parametrize("count", [0, 1, 40, 64, 65, 66, 100, 1_000])
@pytest.mark.parametrize("seed", range(12))
def test_the_changed_variables_are_found_whatever_their_number(count: int, seed: int) -> None:
    """Above a number they are looked for in the trie: both ways find the same."""
    rng = random.Random(f"{count} {seed}")
    baseline = context_with(count)
    context = baseline.copy()
    tokens: list[tuple[ContextVar[Any], Any]] = []
    for _ in range(rng.choice([0, 1, 3, 30, 300])):
        variable = rng.choice(VARIABLES[: count + 50])
        if rng.random() < 0.2 and tokens:
            variable, token = tokens.pop()
            context.run(variable.reset, token)
        elif rng.random() < 0.2 and variable in context:
            context.run(variable.set, context[variable])  # the very same object
        else:
            tokens.append((variable, context.run(variable.set, object())))
    found = _context.changed_variables(context, baseline)
    assert len(found) == len({variable for variable, _ in found})
    assert dict(found) == compared_one_by_one(context, baseline)


@pytest.mark.skipif(not _context._LOOK_AT_TRIE, reason="this build compares every variable")
def test_few_of_many_variables_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """asgiref 3.13.0 looks at each of them, after each call."""
    baseline = context_with(2_000)
    context = baseline.copy()
    context.run(VARIABLES[7].set, object())
    looks = 0

    def counted(*things: Any) -> list[Any]:
        nonlocal looks
        looks += len(things)
        return referents(*things)

    referents = _context._referents
    monkeypatch.setattr(_context, "_referents", counted)
    assert [variable for variable, _ in _context.changed_variables(context, baseline)] == [VARIABLES[7]]
    assert 0 < looks < 100


@pytest.mark.parametrize("count", [10, 500])
def test_a_change_among_many_variables_comes_back_both_ways(count: int) -> None:
    """And what another task changes in the same context meanwhile stays."""
    context = Context()
    mine, others, sync, untouched = VARIABLES[3:7]

    async def main() -> tuple[Any, ...]:
        for variable in VARIABLES[:count]:
            variable.set("before")
        entered, release = asyncio.Event(), asyncio.Event()

        async def inner() -> None:
            mine.set("inner")
            entered.set()
            await release.wait()

        async def change() -> None:
            await entered.wait()
            others.set("meanwhile")
            release.set()

        changing = asyncio.get_running_loop().create_task(change(), context=context)
        await sync_to_async(async_to_sync(inner))()
        await changing
        await sync_to_async(sync.set)("sync")
        return mine.get(), others.get(), sync.get(), untouched.get()

    with asyncio.Runner() as runner:
        values = runner.run(main(), context=context)
    assert values == ("inner", "meanwhile", "sync", "before")
