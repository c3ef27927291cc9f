"""The examples in docstrings and in the README run and print what they say."""

import doctest
import importlib
import importlib.util
import pkgutil
import re
from pathlib import Path

import pytest

import asgi_server

MODULES = ["asgi_server"] + [
    f"asgi_server.{module.name}" for module in pkgutil.iter_modules(asgi_server.__path__)
]
README = Path(__file__).parents[1] / "README.md"


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_in_docstrings(name):
    results = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert results.failed == 0


def test_enough_docstrings_have_examples():
    finder = doctest.DocTestFinder()
    examples = [
        test for name in MODULES for test in finder.find(importlib.import_module(name)) if test.examples
    ]
    assert len(examples) >= 5


@pytest.mark.parametrize("name", [name for name in MODULES if not name.rsplit(".")[-1].startswith("_")])
def test_every_public_name_is_there_and_documented(name):
    module = importlib.import_module(name)
    assert module.__doc__
    assert sorted(set(module.__all__)) == sorted(module.__all__)
    for public in module.__all__:
        assert hasattr(module, public)


@pytest.mark.parametrize("number", range(len(re.findall(r"```python\n", README.read_text("utf-8")))))
def test_the_python_blocks_of_the_readme(number):
    block = re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), re.DOTALL)[number]
    exec(compile(block, f"README.md, block {number}", "exec"), {"__name__": "readme"})
