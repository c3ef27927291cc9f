"""A Django site, served by uvicorn and daphne, answers the same with asgiref and, swapped in, with asgiref-meta.

Its requests pass sync and async middleware in both orders, and use the ORM, transactions, signals, streams
and websockets. The figures that go with it are printed by `tox run -e consumers`.
"""

import json
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from _environments import (
    EVERYTHING,
    UPSTREAM,
    Environment,
    index_lacks,
    on_one_python,
    run,
    stand_in_wheel,
    wheels,
)

from _packages import ROOT

pytestmark = pytest.mark.timeout(900)
DRIVE = ROOT / "tests-integration" / "django_site" / "drive.py"
NEEDS = ("django>=5.2,<6", "channels", "daphne", "httpx", "uvicorn", "websockets")
SERVERS = ("uvicorn", "daphne") if EVERYTHING else ("uvicorn",)
TRACE = "async-innermost sync-below-async async-below-sync sync-outer"


def answers(environment: Environment, server: str) -> dict[str, Any]:
    done = run(environment.python, "-W", "ignore", DRIVE, server, cwd=environment.folder)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, tuple[dict[str, Any], ...]]]:
    """What each server answers, with asgiref and then, in the same environment, with asgiref-meta."""
    if reason := index_lacks():
        pytest.skip(reason)
    environment = Environment(tmp_path_factory.mktemp("site") / "env")
    environment.uv("install", UPSTREAM, *NEEDS)
    theirs = [answers(environment, server) for server in SERVERS]
    environment.uv("uninstall", "asgiref")
    environment.uv("install", "--find-links", wheels(), f"asgiref @ {stand_in_wheel().as_uri()}")
    assert environment.doctor()[0] == 0
    ours = [answers(environment, server) for server in SERVERS]
    yield dict(zip(SERVERS, zip(theirs, ours, strict=True), strict=True))
    shutil.rmtree(environment.folder)


@on_one_python
@pytest.mark.parametrize("server", SERVERS)
def test_same_answers(both: dict[str, tuple[dict[str, Any], ...]], server: str) -> None:
    theirs, ours = both[server]
    assert ours == theirs  # the number of crossings is the same, too

    http, websocket = ours["answers"]["http"], ours["answers"]["websocket"]
    assert {page: status for page, (status, _, _) in http.items() if status != 200} == {
        "error": 500,
        "nowhere": 404,
    }
    assert {trace for _, trace, _ in http.values()} == {TRACE}
    assert http["async"][2]["texts"] == ["async"]
    assert http["transactions"][2] == {
        "seen inside": 1, "left": 0, "committed": True, "on_commit": True, "in atomic": False,
    }  # fmt: skip
    assert http["context"][2] == {"below": ["from the view", "local"], "after": ["from below", "changed"]}
    assert http["sync-calls-async"][2] == {"answers": [True, True, "slept"]}
    assert http["stream"][2] == "kept;" * 5
    assert websocket == {
        "room": [{"text": "hello", "count": 1}] * 2,
        "echo": {"echo": {"a": 1}, "kept": 5},
    }
    assert ours["crossings"]["SyncToAsync"] > 40
