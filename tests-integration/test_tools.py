"""The checks of the tools can fail."""

import subprocess
import sys

import pytest

from _packages import PACKAGES, ROOT, siblings


def isolation(name: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "tools" / "isolation.py"), name]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("name", sorted(PACKAGES.keys() - {"asgiref-meta"}))
def test_isolation_notices_siblings_that_are_not_declared(name: str) -> None:
    """Here all packages are installed, so only asgiref-meta, which needs them all, can be content."""
    done = isolation(name)
    assert done.returncode == 1
    for other in PACKAGES.keys() - {name} - siblings(name):
        assert f"{PACKAGES[other].module} can be imported" in done.stderr


def test_isolation_is_content_where_all_is_declared() -> None:
    assert isolation("asgiref-meta").returncode == 0


def test_siblings_come_with_their_own() -> None:
    assert siblings("asgi-wsgi") == {"asgi-sync", "asgi-local"}
    assert siblings("asgi-server") == set()
