"""``run()``: a server that has a thread, an event loop and perhaps the process's signals for itself."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from ._signals import signals_call, unclaimed_signals

if TYPE_CHECKING:
    import signal

    from ._pool import Pool
    from ._stateless_server import StatelessServer

logger = logging.getLogger("asgi_server.server")


def run_server(server: StatelessServer) -> None:
    """Run *server* in a new event loop in this thread, until it ends or a signal stops it."""
    try:
        asyncio.run(_run_until_signal(server, unclaimed_signals()))
    except KeyboardInterrupt:
        # Where the loop cannot handle signals, or before it did.
        logger.info("Exiting due to Ctrl-C/interrupt")


async def _run_until_signal(server: StatelessServer, signals: list[signal.Signals]) -> None:
    main = asyncio.current_task()
    assert main is not None
    signalled = 0

    def on_signal() -> None:
        nonlocal signalled
        serving = server._serving
        if serving is None or (serving.stopping and signalled > 1):
            # A subclass has an arun() of its own, which only a cancellation reaches; or this is the third
            # request.
            main.cancel()
        else:
            serving.stop()
        signalled += 1

    try:
        with signals_call(signals, on_signal):
            await server.arun()
    except asyncio.CancelledError:
        if not signalled:
            raise
    finally:
        _let_go_of(server._pool)


def _let_go_of(pool: Pool) -> None:
    # asyncio.run() cancels the tasks that are left and waits for them without a limit, so one application
    # that ignores its cancellation would keep the process for ever. It was reported; from here on asyncio
    # does not know of it ("Extending asyncio" in Python's documentation has this function), and it ends with
    # its loop.
    for instance in pool.alive():
        task = instance.task
        if instance.stuck and isinstance(task, asyncio.Task):
            asyncio._unregister_task(task)
