"""Where a page names a test, as `test_module.py::test_name`, that test exists."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1]
ROOT = DOCS.parent
NAMED = re.compile(
    r"`(?:(?P<folder>[\w/.-]+)/)?(?P<module>test_\w+\.py)(?:::(?P<test>test_\w+))?`"
)
PAGES = [
    page
    for page in sorted(DOCS.rglob("*.md"))
    if NAMED.search(page.read_text(encoding="utf-8"))
]


@cache
def files(folder: str | None, module: str) -> tuple[Path, ...]:
    if folder is not None:
        return tuple(
            path
            for parent in ("packages", ".")
            for path in [
                ROOT / parent / folder / "tests" / module,
                ROOT / parent / folder / module,
            ]
            if path.is_file()
        )
    places = ("packages/*/tests", "tests-integration", "docs/tests")
    return tuple(path for place in places for path in ROOT.glob(f"{place}/{module}"))


@cache
def functions_in(path: Path) -> frozenset[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return frozenset(
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_the_tests_that_a_page_names_exist(page: Path) -> None:
    missing = []
    for named in NAMED.finditer(page.read_text(encoding="utf-8")):
        paths = files(named["folder"], named["module"])
        if not paths or (
            named["test"]
            and not any(named["test"] in functions_in(path) for path in paths)
        ):
            missing.append(named[0])
    assert not missing


def test_the_pages_that_promise_something_name_tests() -> None:
    names = {page.relative_to(DOCS).as_posix() for page in PAGES}
    assert {"reliability.md", "design/invariants.md"} <= names


def test_a_missing_test_is_noticed() -> None:
    assert not files(None, "test_that_is_not_there.py")
    (path,) = files("asgi-sync", "test_no_hangs.py")
    assert "test_a_real_deadlock_is_told" in functions_in(path)
    assert "test_that_is_not_there" not in functions_in(path)


def test_the_modules_that_the_code_map_names_exist() -> None:
    text = (DOCS / "design" / "house.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(_[a-z]+(?:_[a-z]+)*)`", text)) - {"_modules"}
    assert len(named) > 50
    assert not {
        name for name in named if not [*ROOT.glob(f"packages/*/src/*/{name}.py")]
    }
