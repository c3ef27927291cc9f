"""Measure the branch coverage of all packages by all tests, and print it."""

import subprocess
import sys

from _packages import PACKAGES, ROOT


def coverage(*arguments: str) -> int:
    return subprocess.run([sys.executable, "-m", "coverage", *arguments], cwd=ROOT).returncode


def main() -> None:
    coverage("erase")
    folders = [package.folder for package in PACKAGES.values()] + [ROOT / "tests-integration"]
    results = [
        coverage("run", "-m", "pytest", "--quiet", f"--rootdir={folder}", str(folder), *sys.argv[1:])
        for folder in folders
    ]
    coverage("combine", "--quiet")
    results.append(coverage("report"))
    sys.exit(max(results))


if __name__ == "__main__":
    main()
