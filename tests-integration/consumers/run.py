"""Run the published tests of asgiref's users, and programs that use them, with asgiref and with asgiref-meta.

    python tests-integration/consumers/run.py                       all of them
    python tests-integration/consumers/run.py flask newrelic        some
    python tests-integration/consumers/run.py --work FOLDER flask   keep environments and logs there

The source distributions come from the package index, and their tests run where they are unpacked. A test
that passes with asgiref and does not with asgiref-meta makes the exit status 1, and so does a suite that ran
nothing. Suites that need redis are skipped, and said to be, where there is no redis-server.
"""

import argparse
import difflib
import os
import re
import shutil
import socket
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

from suites import PROGRAMS, SUITES, Program, Suite

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
    # Where a suite has no settings of its own pytest looks further up, and would find ours.
    (folder / "pytest.ini").touch()
    name = archive.name.removesuffix(".tar.gz")
    return folder / name, name.rpartition("-")[2]


def environment(provider: str | Path, wheels: Path, folder: Path, wanted: tuple[str, ...]) -> Path:
    """Make an environment with this provider of `asgiref` and what else is wanted; return its python."""
    uv("venv", "--quiet", "--clear", "--python", sys.executable, folder)
    if isinstance(provider, str):
        # Not with the folder of our wheels: 3.13.0+meta.1, the stand-in, is an asgiref ==3.13.0 as well.
        asgiref, options = provider, []
    else:
        asgiref, options = f"asgiref @ {provider.as_uri()}", ["--find-links", str(wheels)]
    # OpenTelemetry's have never had another release than a pre-release.
    options += ["--prerelease=allow"] if "opentelemetry" in wanted[0] else []
    uv("pip", "install", "--quiet", "--python", folder, *options, asgiref, *wanted)
    python = folder / "bin" / "python"
    program = "import asgiref.sync; print(asgiref.sync.SyncToAsync.__module__)"
    done = subprocess.run([python, "-c", program], cwd=folder, stdout=subprocess.PIPE, text=True, check=True)
    if (done.stdout.strip() == "asgiref.sync") != isinstance(provider, str):
        raise RuntimeError(f"{folder} was to have {asgiref}, and SyncToAsync is of {done.stdout.strip()}")
    return python


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


def wait_for_port(port: int) -> None:
    deadline = time.monotonic() + 30
    while True:
        with socket.socket() as probe:
            if not probe.connect_ex(("127.0.0.1", port)):
                return
        if time.monotonic() > deadline:
            raise RuntimeError(f"redis-server does not listen on port {port} after 30 s")
        time.sleep(0.05)  # it is another process: there is no event to wait for


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
            wait_for_port(6379)
            if server.poll() is not None:
                raise RuntimeError(
                    "something else listens on port 6379, where the tests of channels_redis write"
                )
            yield
        finally:
            server.terminate()
            server.wait(30)


def compare(suite: Suite, wheels: Path, stand_in: Path, work: Path) -> str:
    """Run a suite both ways, print a line, and return what is wrong, or nothing."""
    source, version = fetch(suite, work / suite.name)
    results: dict[str, Result] = {}
    for label, provider in (("asgiref", UPSTREAM), ("asgiref-meta", stand_in)):
        wanted = (re.sub(r"^([\w-]+(\[.*?\])?).*", rf"\1=={version}", suite.requirement), *suite.needs)
        python = environment(provider, wheels, work / suite.name / f"venv-{label}", wanted)
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


def compare_program(program: Program, wheels: Path, stand_in: Path, work: Path) -> str:
    """Run a program both ways, print a line, and return what is wrong, or nothing."""
    printed: dict[str, list[str]] = {}
    script = ROOT / "tests-integration" / program.command[0]
    for label, provider in (("asgiref", UPSTREAM), ("asgiref-meta", stand_in)):
        python = environment(provider, wheels, work / program.name / f"venv-{label}", program.needs)
        variables = {**os.environ, **({"SITE_REDIS": "redis://127.0.0.1:6379"} if program.redis else {})}
        command = [str(python), "-W", "ignore", str(script), *program.command[1:]]
        log = work / f"{program.name}-{label}.log"
        with redis(program.redis), log.open("w") as errors:
            done = subprocess.run(
                command,
                cwd=work,
                env=variables,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                timeout=600,
            )
        printed[label] = [*done.stdout.splitlines(), f"exit status {done.returncode}"]
    theirs, ours = printed.values()
    same = sum(1 for a, b in zip(theirs, ours, strict=False) if a == b)
    print(f"{program.name:38} {'program':10} {len(theirs):>14} lines {same:>15} same", flush=True)
    if theirs[-1] != "exit status 0":
        return f"{program.name}: fails with asgiref; see {work}/{program.name}-asgiref.log"
    if theirs != ours:
        # Long lines: words say better what differs.
        words = [" ".join(lines).split(" ") for lines in (theirs, ours)]
        changes = [line for line in difflib.ndiff(*words) if line[0] in "+-"]
        return "\n    ".join(
            [f"{program.name}: - with asgiref, + with asgiref-meta; see {work}", *changes[:20]]
        )
    return ""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--work", type=Path, help="folder for environments and logs; default: a temporary one"
    )
    parser.add_argument(
        "names", nargs="*", metavar="suite", choices=[[], *(entry.name for entry in (*PROGRAMS, *SUITES))]
    )
    options = parser.parse_args()
    chosen = [entry for entry in (*PROGRAMS, *SUITES) if not options.names or entry.name in options.names]
    work = (options.work or Path(tempfile.mkdtemp(prefix="consumers-"))).resolve()
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    stand_in = build_wheels(work / "wheels")
    print(f"Python {sys.version.split()[0]}; passed/ran (without skipped)")
    print(f"{'':38} {'':10} {UPSTREAM:>20} {'asgiref-meta':>20}")
    problems = []
    for entry in chosen:
        if entry.redis and not shutil.which("redis-server"):
            print(f"{entry.name:38} skipped: there is no redis-server on this machine")
            continue
        try:
            if isinstance(entry, Program):
                problem = compare_program(entry, work / "wheels", stand_in, work)
            else:
                problem = compare(entry, work / "wheels", stand_in, work)
        except (RuntimeError, subprocess.SubprocessError, ValueError) as error:
            problem = f"{entry.name}: could not be run: {error}"
        if problem:
            problems.append(problem)
            print(problem, flush=True)
    if problems:
        sys.exit("\n".join(["", "Not the same with asgiref-meta:", *problems]))
    print("No test that passes with asgiref fails with asgiref-meta.")


if __name__ == "__main__":
    main()
