"""A partition that this worker holds the lease of."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Partition:
    """One stream, and when to look for what is pending in it."""

    number: int
    stream: str
    fresh: bool = True  # what is pending was left by somebody else, however short ago
    claims_at: float = 0.0  # on the monotonic clock
    releasing: bool = False
