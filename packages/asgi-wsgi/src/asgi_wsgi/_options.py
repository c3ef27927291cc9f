"""The options that both adapters share, checked once when an adapter is built."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from concurrent.futures import Executor

DEFAULT_WORKERS = 40


def whole_number(name: str, value: object, least: int) -> None:
    """Refuse what is not an int of at least ``least``."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an int, not {value!r}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, not {value!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How an adapter runs its application. The constructors of the adapters document each one."""

    thread_sensitive: bool
    executor: Executor | None
    workers: int | None
    stream: bool
    merge: bool
    fill_content_length: bool
    max_body_size: int | None
    send_window: int
    receive_window: int
    client_timeout: float | None
    keep_underscore_headers: bool

    def __post_init__(self) -> None:
        for name in ("thread_sensitive", "stream", "merge", "fill_content_length", "keep_underscore_headers"):
            if not isinstance(getattr(self, name), bool):
                raise TypeError(f"{name} must be True or False, not {getattr(self, name)!r}")
        if self.workers is not None:
            whole_number("workers", self.workers, 1)
        if self.max_body_size is not None:
            whole_number("max_body_size (bytes)", self.max_body_size, 0)
        whole_number("send_window (bytes)", self.send_window, 1)
        whole_number("receive_window (bytes)", self.receive_window, 1)
        check_timeout("client_timeout", self.client_timeout)
        executor: Any = self.executor
        if isinstance(executor, type) or not (
            executor is None or callable(getattr(executor, "submit", None))
        ):
            raise TypeError(f"executor must be a concurrent.futures.Executor, not {self.executor!r}")
        self._check_threads()

    def _check_threads(self) -> None:
        if self.thread_sensitive and self.executor is not None:
            raise ValueError(
                "executor= needs thread_sensitive=False: thread-sensitive code has its own thread"
            )
        if self.thread_sensitive and self.workers is not None:
            raise ValueError("workers= needs thread_sensitive=False: thread-sensitive code has one thread")
        if self.executor is not None and self.workers is not None:
            raise ValueError("give executor= or workers=, not both: an executor brings its own threads")


def check_timeout(name: str, value: object) -> None:
    """Refuse what is neither None nor a positive number of seconds."""
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a number of seconds or None, not {value!r}")
    if not value > 0:
        raise ValueError(f"{name} must be more than 0 seconds, or None for no limit, not {value!r}")


def check_header_limit(value: object) -> None:
    """Refuse what is neither None (or 0: no limit) nor a number of headers."""
    if value is not None:
        whole_number("duplicate_header_limit", value, 0)
