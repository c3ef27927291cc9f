"""The page about the guarantees of the bridges names tests that there are, and says of each what asgiref does."""

import ast
import re

import pytest

from _packages import PACKAGES, ROOT

PAGE = (ROOT / "docs" / "guarantees-of-the-bridges.md").read_text(encoding="utf-8")
ROWS = [line for line in PAGE.splitlines() if line.startswith("|") and "::" in line]
VERDICTS = {"hangs", "fails", "has no such option", "passes", "—"}


def names_in(file: str) -> set[str]:
    path = PACKAGES["asgi-sync"].folder / "tests" / file
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    }


def test_there_are_rows() -> None:
    assert len(ROWS) > 50


@pytest.mark.parametrize("row", ROWS)
def test_each_named_test_exists(row: str) -> None:
    found = re.fullmatch(r"\|[^|]*\| `(\w+\.py)::(\w+)` \| ([^|]+) \|", row)
    assert found is not None, row
    file, test, verdict = found.groups()
    assert test in names_in(file)
    assert verdict in VERDICTS
