"""Run the tests of asgiref 3.13.0 against the package `asgiref` that is installed here, asgiref-meta's.

The source distribution comes from the package index. Its tests are copied into an empty folder and run
there, so its own `asgiref` folder is out of reach.
"""

import shutil
import subprocess
import sys
import tarfile
from collections import Counter
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

VERSION = "3.13.0"


class Outcomes:
    """A pytest plugin that counts how the tests ended, and lists those that did not simply pass."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.unexpected: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when != "call" and report.passed:
            return
        outcome = "xfailed" if report.skipped and hasattr(report, "wasxfail") else report.outcome
        self.counts[outcome] += 1
        if outcome not in ("passed", "xfailed"):
            self.unexpected.append(f"{outcome}: {report.nodeid} ({report.when})")

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if not report.passed:
            self.unexpected.append(f"{report.outcome} at collection: {report.nodeid}")


def fetch(folder: Path) -> Path:
    """Leave the tests and the settings of pytest in a folder of their own; nothing else from the sdist."""
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:"]
    subprocess.run([*pip, "--dest", str(folder), f"asgiref=={VERSION}"], check=True)
    with tarfile.open(folder / f"asgiref-{VERSION}.tar.gz") as archive:
        archive.extractall(folder / "sdist", filter="data")
    alone = folder / "alone"
    shutil.copytree(folder / "sdist" / f"asgiref-{VERSION}" / "tests", alone / "tests")
    shutil.copy(folder / "sdist" / f"asgiref-{VERSION}" / "setup.cfg", alone)
    shutil.rmtree(folder / "sdist")
    return alone


def main() -> None:
    provider = packages_distributions().get("asgiref")
    if provider != ["asgiref-meta"]:
        sys.exit(f"`import asgiref` should give the package of asgiref-meta, but it comes from {provider}")
    folder = Path("upstream").resolve()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    alone = fetch(folder)
    outcomes = Outcomes()
    # The benchmarks run once each, to show that they work.
    options = ["--rootdir", alone, "-c", alone / "setup.cfg", "--timeout=60", "--benchmark-disable"]
    arguments = [*options, *sys.argv[1:], alone]
    status = pytest.main([str(argument) for argument in arguments], plugins=[outcomes])
    print(f"asgiref {VERSION}'s tests against asgiref-meta:", dict(outcomes.counts))
    if sys.argv[1:]:  # a selection: pytest's word is enough
        sys.exit(status)
    whole = outcomes.counts["passed"] > 120 and outcomes.counts["xfailed"] == 1
    if status or outcomes.unexpected or not whole:
        sys.exit("\n".join(["expected: all pass, none skipped, one expected failure", *outcomes.unexpected]))


if __name__ == "__main__":
    main()
