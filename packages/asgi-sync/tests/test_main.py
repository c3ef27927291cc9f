"""`python -m asgi_sync`."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import Any

import pytest

import asgi_sync
from asgi_sync import _self_check
from asgi_sync.__main__ import main


def test_it_reports_and_succeeds() -> None:
    command = [sys.executable, "-W", "error", "-m", "asgi_sync", "--seconds", "0.01"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[0].split()[:3] == ["version", "asgi-sync", f"{asgi_sync.__version__},"]
    assert sum(line.startswith("  ok ") for line in lines) == len(_self_check.CHECKS)
    costs = [line.split() for line in lines if line.split()[1:2] == ["us"]]
    assert len(costs) == 4
    assert all(0.1 < float(cost[0]) < 1e7 for cost in costs)


def test_the_flags_are_this_interpreters() -> None:
    flags = _self_check.flags()
    has_gil = getattr(sys, "_is_gil_enabled", lambda: True)()
    assert (
        flags["free-threaded"] == ("yes" if not has_gil else "no")
        or "GIL is enabled" in flags["free-threaded"]
    )
    inherits = getattr(sys.flags, "thread_inherit_context", None)
    assert flags["thread_inherit_context"] == {None: "not in this version", 0: "off", 1: "on"}[inherits]
    assert sys.version.split()[0] in flags["interpreter"]


def test_a_check_that_fails(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def broken(*args: Any, **kwargs: Any) -> Any:
        return lambda *args, **kwargs: 41

    monkeypatch.setattr(_self_check, "async_to_sync", broken)
    assert main(["--seconds", "0"]) == 1
    out = capsys.readouterr().out
    assert "  FAILED  async_to_sync runs async code in a loop\n" in out
    assert "the result: 41 instead of 42" in out
    assert "  ok      contexts have threads of their own\n" in out
    assert " us " not in out


def test_a_check_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    leave = threading.Event()
    monkeypatch.setattr(_self_check, "CHECKS", {"hangs": leave.wait})
    monkeypatch.setattr(_self_check, "PATIENCE", 0.01)
    (result,) = _self_check.run_checks()
    leave.set()
    assert result.problem == "it has not ended after 0.01 s"


@pytest.mark.parametrize("seconds", ["-1", "61", "nan", "long"])
def test_a_time_that_is_none(seconds: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main([f"--seconds={seconds}"])
    assert "seconds" in capsys.readouterr().err


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    assert capsys.readouterr().out == f"{asgi_sync.__version__}\n"
