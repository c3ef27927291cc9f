"""The demo, driven over HTTP, is part of the tests."""

import subprocess
import sys

import pytest

from _packages import ROOT

GUESTBOOK = ROOT / "examples" / "guestbook"


@pytest.mark.timeout(180)
def test_guestbook_check() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "guestbook", "--check"],
        cwd=GUESTBOOK,
        capture_output=True,
        text=True,
        timeout=170,
    )
    print(done.stdout, done.stderr)
    assert done.stderr == ""
    assert "FAILED" not in done.stdout
    assert "All is as it should be." in done.stdout
    assert done.returncode == 0


def test_guestbook_says_that_a_port_is_taken() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "guestbook", "--host", "192.0.2.1", "--port", "1"],  # an address nobody has
        cwd=GUESTBOOK,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert "192.0.2.1:1 cannot be listened on" in done.stderr
