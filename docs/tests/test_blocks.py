"""Every block of Python in the documentation runs, and prints what the page says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from run_page import BLOCK

DOCS = Path(__file__).parents[1]
PAGES = [
    page
    for page in sorted(DOCS.rglob("*.md"))
    if "_build" not in page.parts and BLOCK.search(page.read_text(encoding="utf-8"))
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_the_blocks_of_a_page(page: Path) -> None:
    runner = Path(__file__).with_name("run_page.py")
    done = subprocess.run(
        [sys.executable, "-W", "error", str(runner), str(page)],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "page", sorted(DOCS.rglob("*.md")), ids=lambda page: str(page.relative_to(DOCS))
)
def test_no_block_is_overlooked(page: Path) -> None:
    # Indented, or with options after the name, it would be shown and not run.
    lines = page.read_text(encoding="utf-8").splitlines()
    assert sum(line.lstrip().startswith("```py") for line in lines) == len(
        BLOCK.findall(page.read_text(encoding="utf-8"))
    )


def test_the_guides_have_examples() -> None:
    with_examples = {page.relative_to(DOCS).as_posix() for page in PAGES}
    for folder in ("tutorials", "guides"):
        pages = {
            page.relative_to(DOCS).as_posix() for page in (DOCS / folder).glob("*.md")
        }
        # That one is the package's own page, and needs a Redis.
        assert pages - with_examples <= {"guides/many-machines.md"}


def test_a_block_that_fails_is_noticed(tmp_path: Path) -> None:
    runner = Path(__file__).with_name("run_page.py")
    for text in (
        "```python\nassert False\n```\n",
        "```python\nprint(1)\n```\n\nOutput:\n\n```text\n2\n```\n",
        "```python\nasync def test_it():\n    raise ValueError\n```\n",
    ):
        page = tmp_path / "page.md"
        page.write_text(text, encoding="utf-8")
        done = subprocess.run(
            [sys.executable, str(runner), str(page)], capture_output=True, check=False
        )
        assert done.returncode == 1
