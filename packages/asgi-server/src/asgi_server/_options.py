"""The limits and times of a server, checked when it is made."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from ._observer import Observer

Lifespan = Literal["off", "auto", "on"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """How to start ``handle()`` again after it raised an exception.

    The delay before the first restart is *initial* seconds and is multiplied by *factor* for each further
    one, up to *maximum* seconds. A run that lasted *reset_after* seconds counts as healthy: the counting
    starts again. After *attempts* restarts in a row the exception is passed on; None means that there is no
    such limit.

    >>> [Backoff(initial=0.5, maximum=3).delay(attempt) for attempt in (1, 2, 3, 4)]
    [0.5, 1.0, 2.0, 3]
    """

    initial: float = 0.1
    maximum: float = 30.0
    factor: float = 2.0
    attempts: int | None = None
    reset_after: float = 60.0

    def __post_init__(self) -> None:
        seconds("initial", self.initial)
        seconds("maximum", self.maximum)
        seconds("reset_after", self.reset_after)
        if not self.factor >= 1:
            raise ValueError(f"factor must be at least 1, not {self.factor!r}")
        if self.attempts is not None:
            whole_number("attempts", self.attempts, minimum=1)

    def delay(self, attempt: int) -> float:
        """Seconds to wait before the *attempt*-th restart in a row; the first is 1."""
        # The exponent is bounded so that a server which restarts for weeks does not overflow a float.
        return min(self.maximum, self.initial * self.factor ** min(attempt - 1, 64))


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What ``StatelessServer`` was told, beyond the application and ``max_applications``."""

    queue_maxsize: int = 0
    idle_timeout: float | None = None
    eviction_grace: float = 5.0
    shutdown_timeout: float = 10.0
    cancel_timeout: float = 5.0
    final_event: Callable[[Hashable, Any], Any] | None = None
    lifespan: Lifespan = "off"
    lifespan_timeout: float = 60.0
    restart: Backoff | None = None
    observer: Observer | None = None

    def __post_init__(self) -> None:
        whole_number("queue_maxsize", self.queue_maxsize, minimum=0)
        if self.idle_timeout is not None:
            seconds("idle_timeout", self.idle_timeout, positive=True)
        seconds("eviction_grace", self.eviction_grace)
        seconds("shutdown_timeout", self.shutdown_timeout)
        seconds("cancel_timeout", self.cancel_timeout, positive=True)
        seconds("lifespan_timeout", self.lifespan_timeout, positive=True)
        if self.final_event is not None and not callable(self.final_event):
            raise TypeError(f"final_event must be a function of scope_id and scope, not {self.final_event!r}")
        if self.lifespan not in ("off", "auto", "on"):
            raise ValueError(f'lifespan must be "off", "auto" or "on", not {self.lifespan!r}')
        if self.restart is not None and not isinstance(self.restart, Backoff):  # pyright: ignore[reportUnnecessaryIsInstance]  # not every caller checks types
            raise TypeError(f"restart must be a Backoff or None, not {self.restart!r}")


def whole_number(name: str, value: Any, *, minimum: int) -> None:
    """Raise TypeError or ValueError unless *value* is an int of at least *minimum*."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} must be an int, not {value!r}")
    if value < minimum:
        raise ValueError(f"{name} must be at least {minimum}, not {value!r}")


def seconds(name: str, value: Any, *, positive: bool = False) -> None:
    """Raise TypeError or ValueError unless *value* is a finite number of seconds."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise TypeError(f"{name} must be a number of seconds, not {value!r}")
    if not math.isfinite(value) or value < 0 or (positive and value == 0):
        raise ValueError(
            f"{name} must be a finite {'positive' if positive else 'non-negative'} time, not {value!r}"
        )
