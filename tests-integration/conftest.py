"""What these tests share. They need all packages at once, so they live beside them."""

import sys
import sysconfig
from importlib.metadata import version

import pytest

from _packages import PACKAGES


def pytest_report_header() -> list[str]:
    versions = ", ".join(f"{name} {version(name)}" for name in sorted(PACKAGES))
    free_threaded = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
    return [f"packages: {versions}", f"free-threaded: {free_threaded}, on {sys.platform}"]


def pytest_configure(config: pytest.Config) -> None:
    """Say why tests were skipped: much is tried on one interpreter alone, or wants a redis-server."""
    if "s" not in config.option.reportchars:
        config.option.reportchars += "s"
