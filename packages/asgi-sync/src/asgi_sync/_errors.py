"""The exceptions of this package."""

from __future__ import annotations


class DeadlockError(RuntimeError):
    """A call would wait for a thread that waits for the call."""
