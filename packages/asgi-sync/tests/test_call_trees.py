"""Generated call trees, run for real and in a model that predicts every value, exception and thread.

A program is a tree of frames. An async frame may await, make tasks, gather, use a TaskGroup or a timeout,
enter a ThreadSensitiveContext, cancel a task, and call a sync frame through ``sync_to_async``. A sync frame
may call another, use ``asyncio.run``, and call an async frame through ``async_to_sync``. Every frame may set
and read a context variable and a Local, raise and catch. The model walks the same tree by plain nested calls.

``STRESS=1`` runs tens of thousands of trees instead of some dozens, another number that many.
"""

import asyncio
import contextlib
import contextvars
import functools
import os
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import pytest
from hypothesis import HealthCheck, event, example, given, settings
from hypothesis import strategies as st

from asgi_local import Local
from asgi_sync import ThreadSensitiveContext, async_to_sync, sync_to_async

STRESS = int(os.environ.get("STRESS") or 0)
SETTINGS = settings(
    max_examples=60 if not STRESS else 20_000 if STRESS == 1 else STRESS,
    deadline=None,
    database=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)

#: Seconds for all trees of one test. Each tree has its own limit, far below that.
patient = pytest.mark.timeout(5400 if STRESS else 120)

variable: contextvars.ContextVar[Any] = contextvars.ContextVar("variable", default=None)
local = Local()


class Boom(Exception):
    """Raised by a frame; tells where."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path


class EndOfFrame(BaseException):
    """Ends a sync frame that was let go after it had been abandoned."""


class Anything:
    """Equal to everything: what an abandoned call had set may come back or not."""

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return "ANYTHING"


ANYTHING = Anything()


# The programs: steps, each with the bodies below it.


@dataclass(frozen=True)
class Read:
    """Note the values of the variable and the Local."""


@dataclass(frozen=True)
class SetVariable:
    value: int


@dataclass(frozen=True)
class SetLocal:
    value: int


@dataclass(frozen=True)
class DeleteLocal:
    pass


@dataclass(frozen=True)
class Raise:
    pass


@dataclass(frozen=True)
class Catch:
    """Run the body; note where the Boom came from if there is one."""

    body: "Body"


@dataclass(frozen=True)
class Swallow:
    """Run the body; note it if it is cancelled, and go on."""

    body: "Body"


@dataclass(frozen=True)
class Call:
    """A plain call of another frame of the same kind (await it, in an async frame)."""

    body: "Body"


@dataclass(frozen=True)
class Park:
    """Wait for ever in async code, until the nearest Cancel above cancels."""


# In async frames


@dataclass(frozen=True)
class Task:
    body: "Body"


@dataclass(frozen=True)
class Gather:
    bodies: "tuple[Body, ...]"


@dataclass(frozen=True)
class Group:
    """A TaskGroup; when ``fails``, one more task of it raises after all others are done."""

    bodies: "tuple[Body, ...]"
    fails: bool


@dataclass(frozen=True)
class WaitFor:
    body: "Body"


@dataclass(frozen=True)
class Timeout:
    body: "Body"


@dataclass(frozen=True)
class Context:
    body: "Body"


@dataclass(frozen=True)
class Cancel:
    """Run the body in a task; cancel it when it has come to a Park or a Block."""

    body: "Body"


@dataclass(frozen=True)
class ToSync:
    body: "Body"
    thread_sensitive: bool
    abandon: bool


# In sync frames


@dataclass(frozen=True)
class ToAsync:
    body: "Body"
    force_new_loop: bool


@dataclass(frozen=True)
class Run:
    """asyncio.run"""

    body: "Body"


@dataclass(frozen=True)
class Block:
    """Block the thread until the nearest Cancel above has cancelled; then end the frame."""


Step = Any
Body = tuple[Step, ...]
Root = Literal["async", "context", "sync"]


# Where a step stands. The interpreter and the model ask the same questions here.


@dataclass(frozen=True)
class Place:
    path: str
    #: Whose thread sensitive code runs on.
    home: str
    #: Which loop async code runs on.
    loop: str
    #: Whether a sync frame above idles on the home thread in async_to_sync: then no context changes the home.
    is_held: bool = False
    #: Whether there is an asyncio.run in a sync frame above, and on whose thread its loop runs.
    below_run: bool = False
    loop_thread: str | None = None
    #: On whose thread this sync frame runs.
    thread: str | None = None
    #: Whether this sync frame runs on the thread of a running loop.
    is_inline: bool = False
    #: The path of the nearest Cancel that a Park here waits for, and whether a Block may.
    scope: str | None = None
    may_block: bool = False

    def at(self, index: int) -> "Place":
        return replace(self, path=f"{self.path}.{index}")

    def below(self, step: Step, branch: int = 0) -> "Place":
        """The place of the body of a step."""
        place = replace(self, path=f"{self.path}{type(step).__name__}{branch or ''}")
        match step:
            case Gather() | Group() | WaitFor():
                return replace(place, scope=None, may_block=False)
            case Context() if not place.is_held and place.home == "process":
                return replace(place, home=f"context {place.path}")
            case Cancel():
                return replace(place, scope=place.path, may_block=True)
            case ToSync(thread_sensitive=True):
                is_inline = place.home == place.loop_thread
                return replace(place, thread=place.home, is_inline=is_inline)
            case ToSync():
                return replace(place, thread=None, is_inline=False)
            case ToAsync() if place.thread == "root" and not place.is_held:
                return replace(place, home="root", is_held=True)
            case ToAsync(force_new_loop=force_new_loop):
                place = replace(place, is_held=place.is_held or place.thread == place.home, may_block=False)
                if force_new_loop:
                    return replace(place, loop=place.path, scope=None, loop_thread=None)
            case Run():
                return replace(
                    place,
                    loop=place.path,
                    below_run=True,
                    loop_thread=place.thread,
                    scope=None,
                    may_block=False,
                )
        return place

    def allows(self, step: Step) -> bool:
        """Whether a step makes sense here; it is left out otherwise."""
        match step:
            case ToAsync(force_new_loop=force_new_loop):
                # The thread of a running loop cannot wait for that loop; below asyncio.run a new loop would
                # have to wait for the thread that waits for it.
                return not self.is_inline and not (force_new_loop and self.below_run)
            case Run():
                return not self.is_inline and not self.below_run
            case Park():
                return self.scope is not None and not self.is_inline
            case Block():
                return self.may_block and not self.is_inline
            case Group(fails=True):
                # After a swallowed cancellation a TaskGroup of 3.13 cancels its task anew when a child fails.
                return self.scope is None
        return True


def first_place(root: Root) -> Place:
    if root == "sync":
        return Place(path="", home="process", loop="root", thread="root")
    return Place(path="", home="process" if root == "async" else "context", loop="root")


# The model


@dataclass
class Record:
    """What happened, by path; each step runs once at most."""

    notes: dict[str, Any] = field(default_factory=dict)
    #: Of each sensitive frame: whose thread it should be on (model), which thread it is on (interpreter).
    threads: dict[str, Any] = field(default_factory=dict)
    #: Of each async frame: which loop.
    loops: dict[str, Any] = field(default_factory=dict)


class Abandoned(Exception):
    """In the model: the sync frame was abandoned."""


class Model(Record):
    """Predict what a program does."""

    def __init__(self) -> None:
        super().__init__()
        self.parked: set[str] = set()

    def run(self, root: Root, body: Body) -> None:
        try:
            self.frame(body, first_place(root), {"variable": None, "local": None}, is_async=root != "sync")
        except Boom as exc:
            self.notes["end"] = exc.path

    def frame(self, body: Body, place: Place, values: dict[str, Any], *, is_async: bool) -> None:
        if is_async:
            self.loops[place.path] = place.loop
        for index, step in enumerate(body):
            here = place.at(index)
            if here.allows(step):
                self.step(step, here, values, is_async=is_async)

    def step(self, step: Step, here: Place, values: dict[str, Any], *, is_async: bool) -> None:
        match step:
            case Read():
                self.notes[here.path] = dict(values)
            case SetVariable(value):
                values["variable"] = value
            case SetLocal(value):
                values["local"] = value
            case DeleteLocal():
                values["local"] = None
            case Raise():
                raise Boom(here.path)
            case Catch(body):
                try:
                    self.frame(body, here.below(step), values, is_async=is_async)
                except Boom as exc:
                    self.notes[here.path] = exc.path
            case Swallow(body):
                try:
                    self.frame(body, here.below(step), values, is_async=is_async)
                except asyncio.CancelledError:
                    self.notes[here.path] = "swallowed"
            case Park() | Block():
                assert here.scope is not None
                if here.scope not in self.parked:
                    self.parked.add(here.scope)
                    raise Abandoned if isinstance(step, Block) else asyncio.CancelledError
            case Call(body) | Timeout(body) | Context(body):
                self.frame(body, here.below(step), values, is_async=is_async)
            case Task(body):
                self.frame(body, here.below(step), dict(values), is_async=True)
            case WaitFor(body):  # a task of its own before 3.12
                own = values if sys.version_info >= (3, 12) else dict(values)
                self.frame(body, here.below(step), own, is_async=True)
            case Gather(bodies) | Group(bodies):
                self.together(step, bodies, here, values)
            case Cancel(body):
                self.notes[here.path] = "finished"
                try:
                    self.frame(body, here.below(step), dict(values), is_async=True)
                except asyncio.CancelledError:
                    self.notes[here.path] = "cancelled"
            case ToSync(body):
                self.to_sync(step, body, here, values)
            case ToAsync(body):
                self.frame(body, here.below(step), values, is_async=True)
            case Run(body):
                self.frame(body, here.below(step), dict(values), is_async=True)

    def together(self, step: Step, bodies: tuple[Body, ...], here: Place, values: dict[str, Any]) -> None:
        failures = []
        for branch, body in enumerate(bodies):
            try:
                self.frame(body, here.below(step, branch), dict(values), is_async=True)
            except Boom as exc:
                failures.append(exc)
        if isinstance(step, Gather) and failures:
            raise failures[0]
        if isinstance(step, Group) and step.fails:
            raise Boom(here.path)

    def to_sync(self, step: ToSync, body: Body, here: Place, values: dict[str, Any]) -> None:
        below = here.below(step)
        if step.thread_sensitive:
            self.threads[below.path] = here.home
        try:
            self.frame(body, below, values, is_async=False)
        except Abandoned:
            values.update(variable=ANYTHING, local=ANYTHING)
            raise asyncio.CancelledError from None


# The interpreter


@dataclass
class Scope:
    """What a Cancel shares with the steps below it."""

    loop: asyncio.AbstractEventLoop
    parked: asyncio.Event = field(default_factory=asyncio.Event)
    release: threading.Event = field(default_factory=threading.Event)
    is_used: bool = False

    def use(self) -> bool:
        """Whether this is the first Park or Block; the scope cancels once."""
        first, self.is_used = not self.is_used, True
        return first

    def close(self) -> None:
        """The Cancel has ended, maybe because it was cancelled itself: nobody would end a wait that begins now."""
        self.is_used = True
        self.release.set()


class Interpreter(Record):
    """Run a program for real."""

    def run(self, root: Root, body: Body) -> Record:
        self.scopes: dict[str, Scope] = {}
        try:
            if root == "sync":
                self.sync_frame(body, first_place(root))
            else:
                asyncio.run(self.run_async(root, body))
        except Boom as exc:
            self.notes["end"] = exc.path
        finally:
            for scope in self.scopes.values():
                scope.release.set()
        return self

    async def run_async(self, root: Root, body: Body) -> None:
        async with contextlib.AsyncExitStack() as stack:
            if root == "context":
                await stack.enter_async_context(ThreadSensitiveContext())
            await self.async_frame(body, first_place(root))

    async def async_frame(self, body: Body, place: Place) -> None:
        self.loops[place.path] = asyncio.get_running_loop()
        for index, step in enumerate(body):
            here = place.at(index)
            if here.allows(step) and not self.simple(step, here):
                await self.async_step(step, here)

    def sync_frame(self, body: Body, place: Place) -> None:
        for index, step in enumerate(body):
            here = place.at(index)
            if here.allows(step) and not self.simple(step, here):
                self.sync_step(step, here)

    def simple(self, step: Step, here: Place) -> bool:
        """The steps that are the same in both kinds of frames."""
        match step:
            case Read():
                self.notes[here.path] = {"variable": variable.get(), "local": getattr(local, "value", None)}
            case SetVariable(value):
                variable.set(value)
            case SetLocal(value):
                local.value = value
            case DeleteLocal():
                if hasattr(local, "value"):
                    del local.value
            case Raise():
                raise Boom(here.path)
            case _:
                return False
        return True

    async def async_step(self, step: Step, here: Place) -> None:
        match step:
            case Catch(body):
                try:
                    await self.async_frame(body, here.below(step))
                except Boom as exc:
                    self.notes[here.path] = exc.path
            case Swallow(body):
                try:
                    await self.async_frame(body, here.below(step))
                except asyncio.CancelledError:
                    self.notes[here.path] = "swallowed"
            case Park():
                await self.park(here)
            case Call(body):
                await self.async_frame(body, here.below(step))
            case Timeout(body):
                async with asyncio.timeout(3600):
                    await self.async_frame(body, here.below(step))
            case Context(body):
                async with ThreadSensitiveContext():
                    await self.async_frame(body, here.below(step))
            case Task(body):
                await asyncio.create_task(self.async_frame(body, here.below(step)))
            case WaitFor(body):
                await asyncio.wait_for(self.async_frame(body, here.below(step)), 3600)
            case Gather(bodies):
                frames = [self.async_frame(body, here.below(step, i)) for i, body in enumerate(bodies)]
                for result in await asyncio.gather(*frames, return_exceptions=True):
                    if isinstance(result, BaseException):
                        raise result
            case Group(bodies, fails):
                await self.group(step, bodies, fails, here)
            case Cancel(body):
                await self.cancel(body, here, here.below(step))
            case ToSync(body, thread_sensitive, abandon):
                frame = sync_to_async(
                    self.bridged_sync_frame, thread_sensitive=thread_sensitive, abandon_on_cancel=abandon
                )
                await frame(body, here.below(step), thread_sensitive)
            case _:
                raise AssertionError(step)

    def bridged_sync_frame(self, body: Body, place: Place, thread_sensitive: bool) -> None:
        if thread_sensitive:
            self.threads[place.path] = threading.current_thread()
        with contextlib.suppress(EndOfFrame):
            self.sync_frame(body, place)

    async def group(self, step: Group, bodies: tuple[Body, ...], fails: bool, here: Place) -> None:
        async def child(body: Body, place: Place) -> None:
            with contextlib.suppress(Boom):
                await self.async_frame(body, place)

        async def failing_child(others: list[asyncio.Task[None]]) -> None:
            if others:
                await asyncio.wait(others)
            raise Boom(here.path)

        try:
            async with asyncio.TaskGroup() as group:
                places = [here.below(step, i) for i in range(len(bodies))]
                tasks = [
                    group.create_task(child(body, place)) for body, place in zip(bodies, places, strict=True)
                ]
                if fails:
                    group.create_task(failing_child(tasks))
        except BaseExceptionGroup as exc:
            (failure,) = exc.exceptions
            raise failure from None

    async def cancel(self, body: Body, here: Place, below: Place) -> None:
        scope = self.scopes[below.path] = Scope(asyncio.get_running_loop())
        task = asyncio.create_task(self.async_frame(body, below))
        parked = asyncio.create_task(scope.parked.wait())
        try:
            await asyncio.wait({task, parked}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                task.cancel()
                scope.release.set()
                await asyncio.wait({task})
        finally:
            scope.close()
            parked.cancel()
            # If the end of the loop cancels both, wait_for may swallow it up to 3.11 (CPython issue 86296), and what
            # comes after may park before the scope is closed. Where the task has ended this does nothing.
            task.cancel()
        self.notes[here.path] = "finished"
        try:
            await task
        except asyncio.CancelledError:
            self.notes[here.path] = "cancelled"
        except Boom:
            self.notes[here.path] = "finished"
            raise

    async def park(self, here: Place) -> None:
        scope = self.scopes[here.scope or ""]
        if scope.use():
            scope.parked.set()
            await asyncio.sleep(3600)

    def sync_step(self, step: Step, here: Place) -> None:
        match step:
            case Catch(body):
                try:
                    self.sync_frame(body, here.below(step))
                except Boom as exc:
                    self.notes[here.path] = exc.path
            case Swallow(body):
                try:
                    self.sync_frame(body, here.below(step))
                except asyncio.CancelledError:
                    self.notes[here.path] = "swallowed"
            case Park():
                async_to_sync(self.park)(here)
            case Call(body):
                self.sync_frame(body, here.below(step))
            case ToAsync(body, force_new_loop):
                async_to_sync(self.async_frame, force_new_loop=force_new_loop)(body, here.below(step))
            case Run(body):
                asyncio.run(self.async_frame(body, here.below(step)))
            case Block():
                scope = self.scopes[here.scope or ""]
                if scope.use():
                    scope.loop.call_soon_threadsafe(scope.parked.set)
                    scope.release.wait(60)
                    raise EndOfFrame
            case _:
                raise AssertionError(step)


# Generating programs: kinds are drawn by weight, the simplest first (hypothesis shrinks towards them).

LEAVES = [SetVariable] * 2 + [SetLocal] * 2 + [DeleteLocal, Raise, Park]
ASYNC_KINDS = [*LEAVES, Catch, Swallow, Call, Task, WaitFor, Timeout, Context, *[Cancel] * 3, Gather, Group]
SYNC_KINDS = [*LEAVES, Block, Catch, Swallow, Call, Run]
ASYNC_KINDS += [ToSync] * len(ASYNC_KINDS)
SYNC_KINDS += [ToAsync] * len(SYNC_KINDS)
MAX_DEPTH = 8


class Generator:
    """Draws one program of bounded size."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw
        self.budget = draw(st.integers(1, 60 if STRESS else 40))

    def body(self, depth: int, *, is_async: bool, has_scope: bool = False) -> Body:
        steps: list[Step] = []
        for _ in range(self.draw(st.integers(1, 3))):
            if self.budget <= 0 or depth >= MAX_DEPTH:
                break
            self.budget -= 1
            kind = self.draw(st.sampled_from(ASYNC_KINDS if is_async else SYNC_KINDS))
            steps += [self.step(kind, depth, is_async=is_async, has_scope=has_scope), Read()]
        if has_scope and self.draw(st.booleans()):
            steps.append(Park() if is_async or self.draw(st.booleans()) else Block())
        return tuple(steps)

    def step(self, kind: type[Step], depth: int, *, is_async: bool, has_scope: bool) -> Step:
        if kind in {SetVariable, SetLocal}:
            return kind(self.draw(st.integers(1, 9)))
        if kind in {DeleteLocal, Raise, Park, Block}:
            return kind()
        inside = functools.partial(self.body, depth + 1)
        if kind is ToSync:
            sensitive = self.draw(st.sampled_from([True, True, False]))
            return ToSync(inside(is_async=False, has_scope=has_scope), sensitive, self.draw(st.booleans()))
        if kind is ToAsync:
            is_forced = self.draw(st.sampled_from([False, False, False, True]))
            return ToAsync(inside(is_async=True, has_scope=has_scope), is_forced)
        if kind in {Gather, Group}:
            bodies = tuple(inside(is_async=True) for _ in range(self.draw(st.integers(1, 3))))
            return Gather(bodies) if kind is Gather else Group(bodies, self.draw(st.booleans()))
        return kind(inside(is_async=is_async or kind is Run, has_scope=has_scope or kind is Cancel))


@st.composite
def programs(draw: st.DrawFn) -> tuple[Root, Body]:
    root: Root = draw(st.sampled_from(["async", "context", "sync"]))
    return root, Generator(draw).body(0, is_async=root != "sync")


# The tests

# From 3.14 on hypothesis now and then takes its own random numbers for an object that nobody keeps.
pytestmark = pytest.mark.filterwarnings("ignore:It looks like `register_random`")


def threads_agree(predicted: dict[str, str], seen: dict[str, threading.Thread]) -> None:
    """Each home is one thread, and the thread of the process is no context's."""
    assert predicted.keys() == seen.keys()
    of_home: dict[str, set[threading.Thread]] = {}
    for path, home in predicted.items():
        of_home.setdefault(home, set()).add(seen[path])
    assert all(len(threads) == 1 for threads in of_home.values()), of_home
    if "root" in of_home:
        assert of_home["root"] == {threading.current_thread()}
    for home, threads in of_home.items():
        if home != "process":
            assert threads != of_home.get("process")


def loops_agree(predicted: dict[str, str], seen: dict[str, asyncio.AbstractEventLoop]) -> None:
    """Below a loop that waits everything runs on that loop; a forced new one is another."""
    assert predicted.keys() == seen.keys()
    of_label: dict[str, set[asyncio.AbstractEventLoop]] = {}
    for path, label in predicted.items():
        of_label.setdefault(label, set()).add(seen[path])
    for label, loops in of_label.items():
        if label != "root" or predicted.get("") == "root":  # a plain thread's calls may have several
            assert len(loops) == 1, label


@given(programs())
@SETTINGS
@patient
def test_a_call_tree_does_what_the_model_predicts(
    in_thread: Callable[..., Any], program: tuple[Root, Body]
) -> None:
    root, body = program
    predicted = Model()
    predicted.run(root, body)
    event(f"{min(len(predicted.threads), 5)} sensitive frames or more")
    event(f"{min(len(predicted.parked), 3)} cancellations or more")

    def real() -> None:
        seen = Interpreter().run(root, body)
        assert predicted.notes == seen.notes
        threads_agree(predicted.threads, seen.threads)
        loops_agree(predicted.loops, seen.loops)

    in_thread(real, timeout=60)


#: The cancellation ends the Cancel; the end of the forced loop then cancels the task in it, which swallows that.
#: It must not park after it: the loop's end would wait for ever, as that of asyncio.run would.
PARKS_AFTER_ITS_LOOP_ENDS: Body = (
    ToSync(
        (ToAsync((Cancel((Swallow((WaitFor((ToSync((Read(),), True, True),)),)), Park())),), True),),
        thread_sensitive=False,
        abandon=False,
    ),
)


#: The same for a loop that ends while the frame that was abandoned goes on, and a wait_for that swallows it (3.11).
PARKS_AFTER_ITS_WAIT: Body = (
    ToAsync((SetLocal(3),), False),
    ToAsync(
        (Cancel((WaitFor((ToSync((ToAsync((Read(),), False),), True, False), Read())), Read(), Park())),),
        False,
    ),
)


@given(programs(), st.integers(0, 60))
@example(program=("sync", PARKS_AFTER_ITS_WAIT), moment=2)
@example(program=("async", PARKS_AFTER_ITS_LOOP_ENDS), moment=4)
@example(program=("async", PARKS_AFTER_ITS_LOOP_ENDS), moment=19)
@example(program=("async", PARKS_AFTER_ITS_LOOP_ENDS), moment=56)
@SETTINGS
@patient
def test_a_call_tree_that_is_cancelled_at_any_moment_ends_and_leaves_no_trace(
    in_thread: Callable[..., Any], program: tuple[Root, Body], moment: int
) -> None:
    """Cancelled after some steps of the loop it ends in bounded time, and bridging still works as before."""
    root, body = program

    async def main() -> None:
        interpreter = Interpreter()
        interpreter.scopes = {}
        if root == "sync":
            call = sync_to_async(interpreter.bridged_sync_frame, thread_sensitive=False)
            task = asyncio.create_task(call(body, replace(first_place(root), home="process"), False))
        else:
            task = asyncio.create_task(interpreter.run_async(root, body))
        for _ in range(moment):
            await asyncio.sleep(0)
        task.cancel()
        # What swallows this may park once more, with nobody left to cancel it.
        while left := asyncio.all_tasks() - {asyncio.current_task()}:
            for scope in list(interpreter.scopes.values()):
                scope.release.set()
            await asyncio.wait(left, timeout=0.1)
            for other in left:
                other.cancel()
        with contextlib.suppress(Boom, asyncio.CancelledError, BaseExceptionGroup):
            await task
        thread = await sync_to_async(threading.current_thread)()
        assert await sync_to_async(threading.current_thread)() is thread
        async with ThreadSensitiveContext():
            assert await sync_to_async(threading.current_thread)() is not thread

    in_thread(quiet(main()), timeout=60)


async def quiet(coroutine: Any) -> None:
    """Abandoned frames that fail tell the exception handler, as they should."""
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
    await coroutine
