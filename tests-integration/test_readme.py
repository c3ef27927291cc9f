"""The Python in the README at the top runs, and its commands are those that there are."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from _packages import PACKAGES, ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


def test_there_is_an_example_of_each_bridge() -> None:
    assert any("sync_to_async(" in block for block in BLOCKS)
    assert any("async_to_sync(" in block for block in BLOCKS)


@pytest.mark.parametrize("block", BLOCKS, ids=[f"block {number}" for number, _ in enumerate(BLOCKS, 1)])
def test_example(block: str, tmp_path: Path) -> None:
    file = tmp_path / "example.py"
    file.write_text(block, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error", str(file)], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(
    "document", ["README.md", "CONTRIBUTING.md", *sorted(f"packages/{p}/README.md" for p in PACKAGES)]
)
def test_relative_links_lead_somewhere(document: str) -> None:
    file = ROOT / document
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)", file.read_text(encoding="utf-8"))
    assert [target for target in targets if not (file.parent / target).exists()] == []


def test_every_package_is_in_the_table() -> None:
    assert sorted(re.findall(r"^\| \[([\w-]+)\]\(packages/", README, re.MULTILINE)) == sorted(PACKAGES)


def test_the_two_commands() -> None:
    commands = re.findall(r"^\$ (.*tox.*)$", README, re.MULTILINE)
    assert commands == [
        "python3 -m pip install tox && python3 -m tox run -e demo",
        "python3 -m pip install tox && python3 -m tox run",
    ]
