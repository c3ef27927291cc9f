"""A Django site, served by uvicorn and daphne, answers the same with asgiref and with asgiref-meta.

Its requests pass sync and async middleware in both orders, and use the ORM, transactions, signals, streams
and websockets. The figures that go with it are printed by `tox run -e consumers`.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from _environments import (
    UPSTREAM,
    Environment,
    index_lacks,
    on_one_python,
    only_in_consumers,
    run,
    stand_in_wheel,
    wheels,
)

from _packages import ROOT

pytestmark = pytest.mark.timeout(300)
DRIVE = ROOT / "tests-integration" / "django_site" / "drive.py"
NEEDS = ("django>=5.2,<6", "channels", "daphne", "httpx", "uvicorn", "websockets")
TRACE = "async-innermost sync-below-async async-below-sync sync-outer"


@pytest.fixture(scope="module")
def environments(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Environment]:
    if reason := index_lacks():
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("site")
    found = {name: Environment(folder / name) for name in ("asgiref", "asgiref-meta")}
    found["asgiref"].uv("install", UPSTREAM, *NEEDS)
    reference = f"asgiref @ {stand_in_wheel().as_uri()}"
    found["asgiref-meta"].uv("install", "--find-links", wheels(), reference, *NEEDS)
    return found


def answers(environment: Environment, server: str, folder: Path) -> dict[str, Any]:
    done = run(environment.python, "-W", "ignore", DRIVE, server, "0", cwd=folder)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@on_one_python
@pytest.mark.parametrize("server", ["uvicorn", pytest.param("daphne", marks=only_in_consumers)])
def test_same_answers(environments: dict[str, Environment], server: str, tmp_path: Path) -> None:
    assert environments["asgiref-meta"].doctor()[0] == 0
    theirs, ours = (answers(environment, server, tmp_path) for environment in environments.values())
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
    assert ours["figures"]["crossings"]["SyncToAsync"] > 40
