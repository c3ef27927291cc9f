"""The examples about types are what type checkers say, not only what runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from run_page import BLOCK

PAGE = Path(__file__).parents[1] / "guides" / "typing.md"


def check(tmp_path: Path, code: str) -> subprocess.CompletedProcess[str]:
    module = tmp_path / "page.py"
    module.write_text(code, encoding="utf-8")
    # In a folder of its own, so that no configuration but --strict counts.
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "mypy",
            "--strict",
            "--cache-dir",
            str(tmp_path / "cache"),
            "page.py",
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
        cwd=tmp_path,
    )


def test_mypy_agrees_and_would_notice_a_mistake(tmp_path: Path) -> None:
    code = "\n".join(
        block["code"] for block in BLOCK.finditer(PAGE.read_text(encoding="utf-8"))
    )
    done = check(tmp_path, code)
    assert done.returncode == 0, done.stdout
    done = check(tmp_path, code + "\nlength(4)\nrequest.usr = 'ada'\n")
    assert done.returncode == 1
    assert "[arg-type]" in done.stdout
    assert "[attr-defined]" in done.stdout
