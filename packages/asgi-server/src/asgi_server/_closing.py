"""The end of a pool: everything is drained, then cancelled and awaited, and whoever stays is named."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._pool import Pool


async def drain(pool: Pool, timeout: float) -> None:
    """Let every instance handle the messages it has, and those it causes, for up to *timeout* seconds."""
    pool.draining = True
    for instance in list(pool.roster):
        pool.retire(instance, "shutdown")
    deadline = pool.loop.time() + timeout
    # An instance that ends may leave messages that start another, so one wait for all of them is not enough.
    while tasks := [instance.task for instance in pool.alive() if not instance.stuck]:
        remaining = deadline - pool.loop.time()
        if remaining <= 0:
            return
        await asyncio.wait(tasks, timeout=remaining)


async def stop(pool: Pool) -> None:
    """Cancel every instance and wait ``cancel_timeout`` seconds for their ends; report those that stay."""
    pool.draining = pool.closed = True
    for instance in list(pool.alive()):
        instance.reason = instance.reason or "shutdown"
        pool.cancel(instance)
    tasks = [instance.task for instance in pool.alive() if not instance.stuck]
    if tasks:
        await asyncio.wait(tasks, timeout=pool.options.cancel_timeout)
        pool.give_up_on_the_rest()
    await pool.reports.finish(pool.options.cancel_timeout)
