"""The examples in the docstrings and in the README are run."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import asgi_wsgi

MODULES = ["asgi_wsgi", *(f"asgi_wsgi.{info.name}" for info in pkgutil.iter_modules(asgi_wsgi.__path__))]
README = Path(__file__).parents[1] / "README.md"


@pytest.mark.parametrize("name", MODULES)
def test_doctests(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_there_are_examples():
    finder = doctest.DocTestFinder()
    for public in (asgi_wsgi.WSGIMiddleware, asgi_wsgi.WsgiToAsgi, asgi_wsgi.AsgiToWsgi):
        assert any(test.examples for test in finder.find(public)), public


def test_the_blocks_of_the_readme_run():
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert blocks
    namespace = {"__name__": "readme"}
    for block in blocks:
        exec(compile(block, str(README), "exec"), namespace)
