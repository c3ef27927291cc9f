"""SIGTERM and SIGINT as requests to stop, for a server that owns its process's main thread."""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

logger = logging.getLogger("asgi_server.server")


def unclaimed_signals() -> list[signal.Signals]:
    """Those of SIGINT and SIGTERM that nobody has a handler for; none outside the main thread."""
    if threading.current_thread() is not threading.main_thread():
        return []
    unclaimed: list[signal.Signals] = []
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        unclaimed.append(signal.SIGINT)
    if signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
        unclaimed.append(signal.SIGTERM)
    return unclaimed


@contextmanager
def signals_call(signals: list[signal.Signals], callback: Callable[[], None]) -> Generator[None]:
    """While this is entered, each of *signals* calls *callback* on the running loop."""
    loop = asyncio.get_running_loop()
    handled: list[signal.Signals] = []

    def received(number: signal.Signals) -> None:
        logger.info("received %s", number.name)
        callback()

    try:
        for number in signals:
            try:
                loop.add_signal_handler(number, received, number)
            except NotImplementedError:
                # Windows: asyncio.run turns Ctrl-C into a cancellation, and there is no SIGTERM to wait for.
                break
            handled.append(number)
        yield
    finally:
        for number in handled:
            loop.remove_signal_handler(number)
