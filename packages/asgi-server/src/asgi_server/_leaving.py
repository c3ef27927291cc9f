"""Who has to go and has not ended yet, and who waits for that."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator

    from ._instance import Instance


class Leaving:
    """The instances that are no longer listed, or wait behind one that is not, by scope.

    The newest of each scope is found at once; the older ones hang on its chain of predecessors. Each waits
    for the end of the one before it.
    """

    def __init__(self) -> None:
        self._newest: dict[Hashable, Instance] = {}

    def __iter__(self) -> Iterator[Instance]:
        """Every one whose task is not done."""
        for newest in list(self._newest.values()):
            instance: Instance | None = newest
            while instance is not None and not instance.ended:
                yield instance
                instance = instance.predecessor

    def clear(self) -> None:
        """Forget everybody; for a new event loop."""
        self._newest.clear()

    def newest(self, scope_id: Hashable) -> Instance | None:
        """The last instance of the scope, if it is leaving."""
        return self._newest.get(scope_id)

    def is_blocked(self, scope_id: Hashable) -> bool:
        """Whether an instance of the scope is stuck, so that no other may start."""
        instance = self._newest.get(scope_id)
        while instance is not None and not instance.stuck:
            instance = instance.predecessor
        return instance is not None

    def add(self, instance: Instance) -> None:
        """It has to go."""
        self._newest[instance.scope_id] = instance

    def recall(self, instance: Instance) -> None:
        """It may stay after all. It must be the newest, and wait for nobody."""
        del self._newest[instance.scope_id]

    def follow(self, last: Instance, successor: Instance) -> None:
        """*successor* waits for the end of *last*, which takes no more messages."""
        successor.predecessor, last.successor = last, successor
        last.closed = True  # or a queue that somebody kept would overtake the new one

    def remove(self, instance: Instance) -> Instance | None:
        """It has ended: take it out of its chain; returns the one that waited for its end."""
        before, after = instance.predecessor, instance.successor
        instance.predecessor = instance.successor = None
        if self._newest.get(instance.scope_id) is instance:
            del self._newest[instance.scope_id]
            if before is not None:
                self._newest[instance.scope_id] = before
        if before is not None:
            before.successor = after
        if after is not None:
            after.predecessor = before
        return after
