"""The examples in docstrings and in the README do what they say."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import asgi_local

MODULES = [
    "asgi_local",
    *(f"asgi_local.{module.name}" for module in pkgutil.iter_modules(asgi_local.__path__)),
]
README = Path(__file__).parents[1] / "README.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("name", MODULES)
def test_docstrings(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_the_public_docstrings_have_examples() -> None:
    finder = doctest.DocTestFinder()
    lowlevel = asgi_local.lowlevel
    for obj in (asgi_local.Local, lowlevel.adopt, lowlevel.depart, lowlevel.disown):
        assert any(test.examples for test in finder.find(obj, globs={}))


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_readme(block: str) -> None:
    exec(compile(block, str(README), "exec"), {"__name__": "__main__"})


def test_readme_has_examples() -> None:
    assert len(BLOCKS) >= 3
