"""Run the published tests of asgiref's users, once with asgiref and once with asgiref-meta, and compare.

    python tests-integration/consumers/run.py                       all of them
    python tests-integration/consumers/run.py flask newrelic        some
    python tests-integration/consumers/run.py --work FOLDER flask   keep environments and logs there

The source distributions come from the package index, and their tests run where they are unpacked. A test
that passes with asgiref and does not with asgiref-meta makes the exit status 1, and so does a suite that ran
nothing. Suites that need redis are skipped, and said to be, where there is no redis-server.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from suites import SUITES, Suite

ROOT = Path(__file__).resolve().parents[2]
UPSTREAM = "asgiref==3.13.0"
SECONDS = 1500
"""A suite that takes longer hangs: it is killed, and its tests count as not passed."""


@dataclass
class Result:
    ran: int
    failed: set[str]
    seconds: float
    status: int


def uv(*arguments: str | Path) -> None:
    done = subprocess.run(["uv", *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise RuntimeError(f"uv {' '.join(map(str, arguments))}\n{done.stdout[-2000:]}")


def build_wheels(folder: Path) -> Path:
    """Build the wheels of the five packages, and the stand-in's; return the stand-in's."""
    for project in (
        *sorted(ROOT.glob("packages/*/pyproject.toml")),
        ROOT / "packages/asgiref-meta/stand-in/pyproject.toml",
    ):
        uv("build", "--quiet", "--wheel", "--out-dir", folder, project.parent)
    (stand_in,) = folder.glob("asgiref-3*.whl")
    return stand_in


def fetch(suite: Suite, folder: Path) -> tuple[Path, str]:
    """Download and unpack a source distribution; return its folder and its version."""
    folder.mkdir(parents=True, exist_ok=True)
    pip = [sys.executable, "-m", "pip", "download", "-qq", "--no-deps", "--no-binary", suite.distribution]
    requirement = re.sub(r"\[.*?\]", "", suite.requirement)
    subprocess.run([*pip, "--dest", str(folder), requirement], check=True)
    (archive,) = folder.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        opened.extractall(folder, filter="data")
    name = archive.name.removesuffix(".tar.gz")
    return folder / name, name.rpartition("-")[2]


def environment(suite: Suite, version: str, provider: str | Path, wheels: Path, folder: Path) -> Path:
    """Make an environment with the suite's project and this provider of `asgiref`; return its python."""
    uv("venv", "--quiet", "--clear", "--python", sys.executable, folder)
    pinned = re.sub(r"^([\w-]+(\[.*?\])?).*", rf"\1=={version}", suite.requirement)
    wanted = (
        str(provider) if isinstance(provider, str) else f"asgiref @ {provider.as_uri().replace('+', '%2B')}"
    )
    # Some, as OpenTelemetry's, have never had another release than a pre-release.
    options = ("--prerelease=allow",) if "opentelemetry" in suite.requirement else ()
    uv(
        "pip",
        "install",
        "--quiet",
        "--python",
        folder,
        "--find-links",
        wheels,
        *options,
        wanted,
        pinned,
        *suite.needs,
    )
    return folder / "bin" / "python"


def run(suite: Suite, python: Path, source: Path, log: Path) -> Result:
    report = log.with_suffix(".xml")
    where = source / suite.folder
    started = time.monotonic()
    variables = {**os.environ, **suite.environment, "PYTHONDONTWRITEBYTECODE": "1"}
    command = [str(python), *suite.arguments(report, where)]
    with log.open("wb") as output:
        try:
            status = subprocess.run(
                command, cwd=where, env=variables, stdout=output, stderr=subprocess.STDOUT, timeout=SECONDS
            ).returncode
        except subprocess.TimeoutExpired:
            status = -1
    seconds = time.monotonic() - started
    if report.exists():
        return Result(*from_junit(report), seconds, status)
    return Result(*from_unittest(log.read_text(errors="replace")), seconds, status)


def from_junit(report: Path) -> tuple[int, set[str]]:
    cases = list(ElementTree.parse(report).iter("testcase"))
    failed = {
        f"{c.get('classname')}.{c.get('name')}" for c in cases if {"failure", "error"} & {e.tag for e in c}
    }
    skipped = sum(1 for case in cases if case.find("skipped") is not None)
    return len(cases) - skipped, failed


def from_unittest(text: str) -> tuple[int, set[str]]:
    ran = re.findall(r"^Ran (\d+) tests? in", text, re.MULTILINE)
    skipped = re.findall(r"^(?:OK|FAILED) \(.*?skipped=(\d+)", text, re.MULTILINE)
    failed = set(re.findall(r"^(?:FAIL|ERROR): \S+ \((\S+)\)", text, re.MULTILINE))
    return sum(map(int, ran)) - sum(map(int, skipped)), failed


@contextmanager
def redis(wanted: bool) -> Iterator[None]:
    """A redis server on its usual port, which the tests of channels_redis have written in them."""
    if not wanted:
        yield
        return
    with tempfile.TemporaryDirectory() as folder:
        options = ["--port", "6379", "--save", "", "--dir", folder]
        server = subprocess.Popen(["redis-server", *options], stdout=subprocess.DEVNULL)
        try:
            yield
        finally:
            server.terminate()
            server.wait(30)


def compare(suite: Suite, wheels: Path, stand_in: Path, work: Path) -> str:
    """Run a suite both ways, print a line, and return what is wrong, or nothing."""
    source, version = fetch(suite, work / suite.name)
    results: dict[str, Result] = {}
    for label, provider in (("asgiref", UPSTREAM), ("asgiref-meta", stand_in)):
        python = environment(suite, version, provider, wheels, work / suite.name / f"venv-{label}")
        with redis(suite.redis):
            results[label] = run(suite, python, source, work / f"{suite.name}-{label}.log")
    theirs, ours = results["asgiref"], results["asgiref-meta"]
    passed = [f"{r.ran - len(r.failed)}/{r.ran} in {r.seconds:.0f} s" for r in (theirs, ours)]
    print(f"{suite.distribution:38} {version:10} {passed[0]:>20} {passed[1]:>20}", flush=True)
    if theirs.ran <= len(theirs.failed):
        return f"{suite.name}: no test passes, even with asgiref; see {work}/{suite.name}-*.log"
    if ours.ran != theirs.ran:
        return f"{suite.name}: {ours.ran} tests ran, with asgiref {theirs.ran}"
    if lost := sorted(ours.failed - theirs.failed):
        return "\n    ".join([f"{suite.name}: pass with asgiref, and do not with asgiref-meta:", *lost])
    if ours.status and not theirs.status:
        return f"{suite.name}: ended with status {ours.status}; see {work}/{suite.name}-asgiref-meta.log"
    return ""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--work", type=Path, help="folder for environments and logs; default: a temporary one"
    )
    parser.add_argument("names", nargs="*", metavar="suite", choices=[[], *(suite.name for suite in SUITES)])
    options = parser.parse_args()
    chosen = [suite for suite in SUITES if not options.names or suite.name in options.names]
    work = (options.work or Path(tempfile.mkdtemp(prefix="consumers-"))).resolve()
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    stand_in = build_wheels(work / "wheels")
    print(f"Python {sys.version.split()[0]}; passed/ran (without skipped)")
    print(f"{'':38} {'':10} {UPSTREAM:>20} {'asgiref-meta':>20}")
    problems = []
    for suite in chosen:
        if suite.redis and not shutil.which("redis-server"):
            print(f"{suite.distribution:38} skipped: there is no redis-server on this machine")
            continue
        try:
            problem = compare(suite, work / "wheels", stand_in, work)
        except (RuntimeError, subprocess.CalledProcessError, ValueError) as error:
            problem = f"{suite.name}: could not be set up: {error}"
        if problem:
            problems.append(problem)
            print(problem, flush=True)
    if problems:
        sys.exit("\n".join(["", "Not the same with asgiref-meta:", *problems]))
    print("No test that passes with asgiref fails with asgiref-meta.")


if __name__ == "__main__":
    main()
