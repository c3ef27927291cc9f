"""What several test modules use."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

from asgi_local import Local
from asgi_local.lowlevel import CONTEXT_IS_INHERITED

if TYPE_CHECKING:
    from collections.abc import Callable

if CONTEXT_IS_INHERITED:
    # pytest-xdist starts its workers without the interpreter's -X options.
    os.environ["PYTHON_THREAD_INHERIT_CONTEXT"] = "1"

# A loaded machine is no failure.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

# How often a race is run: hundreds of times where STRESS is set.
REPEAT = 500 if os.environ.get("STRESS") else 30


def call_in_thread(function: Callable[[], Any]) -> Any:
    """Return what *function* returns in a new thread; raise what it raises."""
    outcome: list[Any] = []

    def run() -> None:
        try:
            outcome.append((function(), None))
        except BaseException as error:  # carried to the test
            outcome.append((None, error))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(30)
    assert outcome, "the thread did not end"
    result, error = outcome[0]
    if error is not None:
        raise error
    return result


@pytest.fixture(params=[False, True], ids=["default", "critical"])
def local(request: pytest.FixtureRequest) -> Local:
    """A new Local, of each kind."""
    return Local(thread_critical=request.param)


@pytest.fixture
def repeat() -> int:
    return REPEAT


@pytest.fixture
def in_thread() -> Callable[[Callable[[], Any]], Any]:
    return call_in_thread
