"""The examples in docstrings and in the README do what they say."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil
import re
from pathlib import Path
from typing import Any

import pytest

import asgi_sync

MODULES = ["asgi_sync", *(f"asgi_sync.{module.name}" for module in pkgutil.iter_modules(asgi_sync.__path__))]
README = Path(__file__).parents[1] / "README.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("name", [name for name in MODULES if not name.endswith("__main__")])
def test_docstrings(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_readme(block: str) -> None:
    exec(compile(block, str(README), "exec"), {"__name__": "__main__"})


def test_readme_has_examples() -> None:
    assert len(BLOCKS) >= 4


@pytest.mark.parametrize("name", asgi_sync.__all__)
def test_everything_public_is_there_and_documented(name: str) -> None:
    public: Any = getattr(asgi_sync, name)
    if inspect.getmodule(public) is not None and inspect.getmodule(public).__name__.startswith("asgi_sync"):  # type: ignore[union-attr]  # not None, see before
        assert inspect.getdoc(public)
