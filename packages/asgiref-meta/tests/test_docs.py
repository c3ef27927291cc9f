"""The examples in the docstrings and in README.md run."""

import doctest
import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import asgiref

README = Path(__file__).parent.parent / "README.md"
MODULES = ["asgiref", *(f"asgiref.{module.name}" for module in pkgutil.iter_modules(asgiref.__path__))]


@pytest.mark.parametrize("name", MODULES)
def test_docstrings(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_some_docstrings_have_examples() -> None:
    finder = doctest.DocTestFinder()
    found = [test for name in MODULES for test in finder.find(importlib.import_module(name)) if test.examples]
    assert len(found) >= 2


def test_readme() -> None:
    text = README.read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    assert blocks
    for block in blocks:
        exec(compile(block, str(README), "exec"), {"__name__": "__main__"})
