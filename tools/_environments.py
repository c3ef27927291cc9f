"""Fresh virtual environments, and wheels of this tree, for the tests of installing."""

import contextlib
import functools
import hashlib
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

import install
import pytest

from _packages import ROOT

# What takes long runs in `tox run -e consumers` alone. What needs Django runs elsewhere only where all that it
# needs has wheels.
EVERYTHING = bool(os.environ.get("CONSUMERS"))
_ORDINARY = sys.version_info[:2] == (3, 13) and not sysconfig.get_config_var("Py_GIL_DISABLED")
only_in_consumers = pytest.mark.skipif(not EVERYTHING, reason="runs in `tox run -e consumers`")
ON_ONE_PYTHON = EVERYTHING or _ORDINARY
on_one_python = pytest.mark.skipif(not ON_ONE_PYTHON, reason="runs on CPython 3.13 alone, not free-threaded")

STAND_IN = ROOT / "packages" / "asgiref-meta" / "stand-in"
UPSTREAM = "asgiref==3.13.0"


def run(
    *command: str | Path, cwd: Path | None = None, check: bool = True
) -> subprocess.CompletedProcess[str]:
    # Neither the folder of these tests nor a PYTHONPATH may offer the packages a second time.
    variables = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=variables, capture_output=True, text=True, timeout=400
    )
    if check and done.returncode:
        raise AssertionError(f"{command}: {done.returncode}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}")
    return done


@functools.cache
def uv() -> str:
    """The uv that runs this environment's tox, or a skip."""
    found = shutil.which("uv")
    if not found:
        pytest.skip("uv is not on this machine: no fresh environment can be made")
    return found


@functools.cache
def index_lacks() -> str:
    """Say why nothing can be installed from the package index; an empty string: it can."""
    with tempfile.TemporaryDirectory() as folder:
        command = [uv(), "pip", "install", "--quiet", "--target", folder, "--no-deps", "--refresh", UPSTREAM]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        except subprocess.TimeoutExpired as error:
            return f"the package index cannot be reached: {error}"
        return f"the package index cannot be reached: {done.stderr[-200:]}" if done.returncode else ""


@functools.cache
def wheels() -> Path:
    """A folder with the wheels of the five packages and the stand-in's. A state of the tree is built once."""
    five = install.wheels()
    state = hashlib.sha256(five.name.encode())
    for file in sorted(file for file in STAND_IN.iterdir() if file.is_file()):
        state.update(file.read_bytes())
    finished = five.with_name(f"{state.hexdigest()[:16]}-with-stand-in")
    if not finished.exists():
        with tempfile.TemporaryDirectory(prefix="building-", dir=five.parent) as folder:
            building = Path(folder, "wheels")
            run(uv(), "build", "--quiet", "--wheel", "--out-dir", building, STAND_IN)
            for wheel in five.glob("*.whl"):
                shutil.copy(wheel, building)
            with contextlib.suppress(OSError):  # another process, run in parallel, was faster
                building.rename(finished)
    return finished


def stand_in_wheel() -> Path:
    (wheel,) = wheels().glob("asgiref-3*.whl")
    return wheel


class Environment:
    """A virtual environment in a folder."""

    def __init__(self, folder: Path, *, pip: bool = False) -> None:
        self.folder = folder
        run(uv(), "venv", "--quiet", "--python", sys.executable, *(["--seed"] if pip else []), folder)
        self.python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"

    def pip(self, *arguments: str | Path) -> str:
        """With pip itself, which is slow."""
        return run(self.python, "-m", "pip", "--disable-pip-version-check", *arguments).stdout

    def uv(self, command: str, *arguments: str | Path) -> str:
        """With uv, which installs and removes by RECORD as pip does, and is quick."""
        done = run(uv(), "pip", command, "--python", self.python, *arguments)
        return done.stdout + done.stderr

    def run(self, program: str) -> str:
        return run(self.python, "-c", program, cwd=self.folder).stdout.strip()

    def doctor(self) -> tuple[int, dict[str, Any]]:
        done = run(self.python, "-m", "asgiref", "--json", cwd=self.folder, check=False)
        if not done.stdout:
            raise AssertionError(f"no report, status {done.returncode}: {done.stderr}")
        report: dict[str, Any] = json.loads(done.stdout)
        return done.returncode, report
