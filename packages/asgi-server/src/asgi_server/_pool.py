"""All application instances of one server: how they come and go, and where their messages are meanwhile."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any, cast

from ._calling import Calls
from ._deadlines import Deadlines
from ._errors import ServerClosedError
from ._instance import Instance
from ._leaving import Leaving
from ._observer import notify
from ._places import Places
from ._reporting import Reports
from ._roster import Roster
from ._settling import drop, without_final_event

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator

    from ._inbox import Inbox
    from ._options import Options
    from ._stateless_server import StatelessServer

logger = logging.getLogger("asgi_server.server")


class Pool:
    """The instances of one server.

    At most ``max_applications`` applications run at a time. An instance that has to leave to make room
    finishes what it has within the grace period; the one that takes its place is listed at once, with its
    queue, but starts when a place is free. Nobody is ever called for a scope whose last instance still runs.
    """

    def __init__(self, server: StatelessServer, options: Options) -> None:
        self.server = server
        self.options = options
        self.roster: Roster = Roster(options.idle_timeout, self._idle)
        self.reports: Reports = Reports(server)
        self.leaving: Leaving = Leaving()
        self.calls: Calls = Calls(server)
        self._loop: asyncio.AbstractEventLoop | None = None
        self.draining = False  # shutting down: newcomers leave as soon as they have handled what they have
        self.closed = False  # nobody is called any more
        self.lifespan_state: dict[str, Any] | None = None  # what the application keeps for its scopes

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The running loop; at the first use in a loop everything that hangs on a loop is made for it."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            # Instances of an earlier loop are gone with it: asyncio.run() cancels them when it ends.
            self._loop = loop
            self.roster.clear()
            self.leaving.clear()
            self.places: Places = Places(self)
            # Stands in for the task of an instance during the moment before there is one.
            self.not_started: asyncio.Future[Any] = loop.create_future()
            self._grace = Deadlines(loop, self.options.eviction_grace, self._grace_over)
            self._cancellations = Deadlines(loop, self.options.cancel_timeout, self._cancellation_ignored)
        return loop

    def alive(self) -> Iterator[Instance]:
        """Every instance whose task is not done, those without a place and those that are stuck included."""
        yield from self.roster
        yield from self.leaving

    async def no_line(self) -> None:
        """Wait until nobody waits for a place."""
        _ = self.loop
        await self.places.no_line()

    ### Messages on their way to an instance

    def get_or_create(self, scope_id: Hashable, scope: Any) -> Inbox:
        """The queue of the scope's instance, which is made if there is none."""
        instance: Instance | None = self.roster.instances.get(scope_id)
        if instance is None:
            return self._create(scope_id, scope).inbox
        if type(instance) is not Instance:
            return cast("Inbox", instance["input_queue"])  # put there by hand
        if instance.task.done():
            self.finish(instance)  # which may have made the next one
            return self.get_or_create(scope_id, scope)
        self.roster.touch(instance)
        return instance.inbox

    def current_inbox(self, owner: Instance) -> Inbox:
        """The inbox that messages for *owner*'s scope go to."""
        if owner.task.done():
            self.finish(owner)
        current: Instance = self.roster.instances.get(owner.scope_id, owner)
        return current.inbox

    def redeliver(self, owner: Instance, item: Any) -> None:
        """Bring a message that came for an instance that takes no more to the next one of its scope."""
        if owner.task.done():
            self.finish(owner)
        live: Instance | None = self.roster.instances.get(owner.scope_id)
        if live is None or live.task.done():
            self._create_or_drop(owner, [item])
        else:
            self.roster.touch(live)
            live.inbox.deliver(item)

    def _create_or_drop(self, last: Instance, items: list[Any]) -> None:
        try:
            self._create(last.scope_id, last["scope"], items)
        except ServerClosedError as error:
            drop(last, items, str(error))

    def _hand_over(self, instance: Instance, successor: Instance | None) -> None:
        items = without_final_event(instance.inbox.take_all())
        if not items:
            return
        cancelling = getattr(instance.task, "cancelling", None)
        if successor is not None:
            successor.inbox.deliver_first(items)
        elif instance.cancelled:
            drop(instance, items, f"not handled before its instance was cancelled ({instance.reason})")
        elif instance.task.cancelled() and cancelling is not None and cancelling():
            drop(instance, items, "its instance was cancelled by somebody else")
        elif not instance.has_received:
            # A next instance would do the same again, for ever.
            drop(instance, items, "its instance ended without receiving anything")
        else:
            self._create_or_drop(instance, items)

    ### Coming

    def _create(self, scope_id: Hashable, scope: Any, items: Iterable[Any] = ()) -> Instance:
        loop = self.loop
        self.calls.caller()  # an application that cannot be called is the caller's error, not the instance's
        if self.closed:
            raise ServerClosedError("the server has shut down")
        last = self.leaving.newest(scope_id)
        if last is not None and self.leaving.is_blocked(scope_id):
            drop(last, list(items), "the last instance of its scope ignores its cancellation")
            return last
        self._make_room()
        if last is not None and not last.closed and not (last.has_place and self.places.line):
            return self._stay(last, items)
        if self.lifespan_state is not None and isinstance(scope, dict):
            cast("dict[str, Any]", scope).setdefault("state", self.lifespan_state.copy())
        instance = Instance(self, scope_id, scope, items)
        if self.draining:
            instance.draining, instance.reason = True, "shutdown"
        if last is None and self.places.free:
            self.places.take(instance)
            self.roster.add(instance)
            self._attach(instance, self.calls.start(instance, loop))
            return instance
        self.roster.add(instance)
        instance.gate = loop.create_future()
        self._attach(instance, loop.create_task(self.calls.start_later(instance, instance.gate)))
        if last is None:
            self.places.queue(instance)
        else:
            self.leaving.follow(last, instance)
        return instance

    def _make_room(self) -> None:
        listed = self.roster.instances
        while len(listed) >= self.server.max_applications:
            oldest = self.roster.oldest()
            self.server.delete_oldest_application_instance()
            if oldest is None or self.roster.instances.get(oldest.scope_id) is oldest:
                # The method is overridden and keeps it. The newcomer then waits for a place.
                break

    def _stay(self, instance: Instance, items: Iterable[Any]) -> Instance:
        # It was leaving and has not been cancelled. Its scope is wanted again and nobody waits for its place.
        self.leaving.recall(instance)
        self._grace.discard(instance)
        instance.draining = self.draining
        self.roster.add(instance)
        self.places.stay(instance)
        for item in items:
            instance.inbox.deliver(item)
        return instance

    def _attach(self, instance: Instance, task: asyncio.Future[Any]) -> None:
        instance.task = instance["future"] = task
        task.add_done_callback(instance.task_done)
        if instance.cancelled:
            # A task that starts eagerly may have been told to go before it had a name here.
            task.cancel()

    ### Going

    def delete_oldest(self) -> None:
        """Evict the least recently used instance."""
        oldest = self.roster.oldest()
        if oldest is not None:
            self.server.delete_application_instance(oldest.scope_id)

    def delete(self, scope_id: Hashable) -> None:
        """Evict one instance. KeyError if the scope has none."""
        instance = self.roster.instances[scope_id]
        if isinstance(instance, Instance):
            self.retire(instance, "evicted")
        else:
            del self.roster.instances[scope_id]
            instance["future"].cancel()

    def retire(self, instance: Instance, reason: str) -> None:
        """Unlist the instance; it may handle what it has, within the grace period, and then has to go."""
        self.roster.remove(instance)
        if instance.task.done():
            self.finish(instance)
            return
        instance.draining, instance.reason = True, reason
        self.leaving.add(instance)
        self.places.leave(instance)
        instance.tell_final_event()
        if instance.idle:
            self.cancel(instance)
        elif instance.has_place:
            self._begin_grace(instance)

    def starts(self, instance: Instance) -> None:
        """It was given a place after it had waited for one."""
        if instance.draining:
            self.places.leave(instance)
            self._begin_grace(instance)
        else:
            self.roster.starts(instance)

    def _begin_grace(self, instance: Instance) -> None:
        if not self.draining:  # a shutdown has its own timeout
            self._grace.add(instance)

    def _idle(self, instance: Instance) -> None:
        self.retire(instance, "idle")

    def _grace_over(self, instance: Instance) -> None:
        instance.reason += ", grace period over"
        self.cancel(instance)

    def cancel(self, instance: Instance) -> None:
        """Cancel the instance's task; from here on it takes no more messages."""
        if instance.ended or instance.cancelled:
            return
        instance.cancelled = instance.closed = instance.draining = True
        if self.roster.remove(instance):
            self.leaving.add(instance)
        self.places.leave(instance)
        self._grace.discard(instance)
        self._cancellations.add(instance)
        if instance.task is not self.not_started:
            instance.task.cancel()

    def _cancellation_ignored(self, instance: Instance) -> None:
        instance.stuck = True
        timeout = self.options.cancel_timeout
        logger.error("the instance of scope %r ignores its cancellation for %g s", instance.scope_id, timeout)
        notify(self.options.observer, "instance_stuck", instance.scope_id, instance.reason)
        successor = instance.successor
        while successor is not None:
            drop(
                successor,
                successor.inbox.take_all(),
                "the last instance of its scope ignores its cancellation",
            )
            successor.reason = "predecessor stuck"
            self.cancel(successor)
            successor = successor.successor
        instance.task.cancel()  # perhaps it was a matter of asking twice
        self.places.give_back(instance)

    def cancel_where(self, condition: Callable[[Hashable], bool], reason: str) -> None:
        """Cancel, without a grace period, the instances of all scopes for whose id the condition holds."""
        for instance in list(self.alive()):
            if condition(instance.scope_id):
                instance.reason = instance.reason or reason
                self.cancel(instance)

    def give_up_on_the_rest(self) -> None:
        """Those that were cancelled and have not ended are stuck, whether or not their time is quite over."""
        for instance in list(self.alive()):
            if instance.cancelled and not instance.stuck:
                self._cancellations.discard(instance)
                self._cancellation_ignored(instance)

    def finish(self, instance: Instance) -> None:
        """Close the books of an instance whose task is done: the task's callback, or somebody before it."""
        if instance.ended:
            return
        instance.ended = instance.closed = True
        self.roster.remove(instance)
        self._grace.discard(instance)
        self._cancellations.discard(instance)
        task = instance.task
        cancelled = task.cancelled()
        error = None if cancelled else task.exception()
        instance.settle("cancelled" if cancelled else "failed" if error else "handled")
        successor = self.leaving.remove(instance)
        if successor is not None and successor.predecessor is None:
            self.places.queue(successor)
        self._hand_over(instance, successor)
        if error is not None and not isinstance(error, (KeyboardInterrupt, SystemExit)):
            self.reports.add(error, instance)
        if instance.has_place or instance.stuck:  # else it was never called
            ending = "cancelled" if cancelled else "failed" if error else "returned"
            seconds = time.monotonic() - instance.started_at
            notify(
                self.options.observer, "instance_ended", instance.scope_id, instance.reason or ending, seconds
            )
        self.places.give_back(instance)
