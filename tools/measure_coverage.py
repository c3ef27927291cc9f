"""Measure the branch coverage of all packages by all tests, and print it."""

import os
import subprocess
import sys
from pathlib import Path

from _packages import PACKAGES, ROOT


def coverage(*arguments: str, cwd: Path = ROOT) -> int:
    # All data in one place, wherever the tests are run from.
    environment = {**os.environ, "COVERAGE_FILE": str(ROOT / ".coverage")}
    command = [sys.executable, "-m", "coverage", *arguments]
    return subprocess.run(command, cwd=cwd, env=environment).returncode


def main() -> None:
    coverage("erase")
    settings = f"--rcfile={ROOT / 'pyproject.toml'}"
    folders = [package.folder for package in PACKAGES.values()] + [ROOT / "tests-integration"]
    results = [
        coverage("run", settings, "-m", "pytest", "--quiet", *sys.argv[1:], cwd=folder) for folder in folders
    ]
    coverage("combine", "--quiet")
    results.append(coverage("report"))
    sys.exit(max(results))


if __name__ == "__main__":
    main()
