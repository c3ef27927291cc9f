"""`python -m asgiref`, in folders made to look like the states of an environment.

tests-integration/test_swap_doctor.py has the real ones, made by installers.
"""

import base64
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import asgiref
from asgiref._doctor import MODULES, examine, main


class Site:
    """A folder on sys.path, with a copy of the package and what installers write."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.package = folder / "asgiref"
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(Path(asgiref.__path__[0]), self.package, ignore=ignore)

    def install(self, name: str, version: str) -> None:
        """Pretend that the files, as they are now, came with a distribution."""
        info = self.folder / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        lines = []
        for file in sorted(self.package.glob("*.py")):
            digest = (
                base64.urlsafe_b64encode(hashlib.sha256(file.read_bytes()).digest()).rstrip(b"=").decode()
            )
            lines.append(f"asgiref/{file.name},sha256={digest},{file.stat().st_size}")
        (info / "RECORD").write_text("\n".join(lines) + "\n")

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-W", "error", "-m", "asgiref", *arguments],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(self.folder)},
            capture_output=True,
            text=True,
            timeout=60,
        )

    def report(self) -> tuple[int, dict[str, Any]]:
        done = self.run("--json")
        assert done.stderr == ""
        return done.returncode, json.loads(done.stdout)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    made = Site(tmp_path)
    made.install("asgiref-meta", "3.13.0")
    return made


def test_whole(site: Site) -> None:
    status, report = site.report()
    assert (status, report["ok"], report["owner"], report["problems"]) == (0, True, "asgiref-meta", [])
    assert Path(report["folder"]) == site.package.resolve()


def test_overwritten(site: Site) -> None:
    for name in MODULES:
        with (site.package / f"{name}.py").open("a") as file:
            file.write("# of the other\n")
    site.install("asgiref", "3.13.0")
    status, report = site.report()
    assert (status, report["owner"]) == (1, "asgiref")
    assert len(report["problems"]) == 2


def test_same_version_beside_it_and_not_overwritten(site: Site) -> None:
    site.install("asgiref", "3.13.0")
    status, report = site.report()
    assert (status, report["owner"]) == (1, "asgiref-meta")


def test_the_stand_in_is_no_problem(site: Site) -> None:
    info = site.folder / "asgiref-3.13.0+meta.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: asgiref\nVersion: 3.13.0+meta.1\n")
    (info / "RECORD").write_text("")
    status, report = site.report()
    assert (status, report["stand_in"], report["notes"]) == (0, True, [])


def test_missing_files(site: Site) -> None:
    for name in MODULES[1:]:
        (site.package / f"{name}.py").unlink()
    done = site.run()
    assert done.returncode == 1
    assert "PROBLEM: Missing: asgiref.compatibility, " in done.stdout
    assert "python -m pip install --force-reinstall --no-deps asgiref-meta" in done.stdout


def test_a_changed_and_broken_file(site: Site) -> None:
    (site.package / "wsgi.py").write_text("raise OSError('broken')\n")
    status, report = site.report()
    assert status == 1
    assert report["problems"] == [
        "Not as any distribution has installed them: asgiref.wsgi.",
        "`import asgiref.wsgi` fails: OSError: broken",
    ]


def test_an_unknown_option_is_refused(site: Site) -> None:
    done = site.run("--yaml")
    assert done.returncode == 2
    assert "--yaml" in done.stderr


def test_in_this_environment(capsys: pytest.CaptureFixture[str]) -> None:
    report = examine()
    assert report.owner == "asgiref-meta"
    status = main([])
    printed = capsys.readouterr().out
    assert status == (0 if report.ok else 1)
    assert ("All is well" in printed) is report.ok
