"""Measure the Django site in tests-integration/django_site with asgiref and with asgiref-meta, side by side.

    python tests-integration/consumers/site.py [--rounds 30] [--requests 40]

Both are there at the same time, and take turns at a few requests. A ratio is formed in each round: the median
of the ratios stays much the same when the rest of the machine does not, and the quartiles tell how much. The
answers must be equal.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from run import ROOT, UPSTREAM, build_wheels, environment

NEEDS = ("django>=5.2,<6", "channels", "channels_redis", "daphne", "httpx", "uvicorn", "websockets")
SITE = ROOT / "tests-integration" / "django_site"
PAGES = ("/health", "/sync", "/async", "/sync-calls-async")


def environments(work: Path) -> dict[str, Path]:
    stand_in = build_wheels(work / "wheels")
    return {
        label: environment(provider, work / "wheels", work / label, NEEDS)
        for label, provider in (("asgiref", UPSTREAM), ("asgiref-meta", stand_in))
    }


class Subject:
    """A process that answers each line with a line of JSON."""

    def __init__(self, python: Path, *command: str | Path) -> None:
        self._process = subprocess.Popen(
            [python, "-W", "ignore", *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # the pages that fail on purpose say so
            text=True,
        )

    def read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()  # what it does has timeouts, at whose end it ends itself
        if not line:
            raise RuntimeError(f"ended with status {self._process.wait(60)}")
        found: dict[str, Any] = json.loads(line)
        return found

    def ask(self, what: str, number: int) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{what} {number}\n")
        self._process.stdin.flush()
        return self.read()

    def close(self) -> None:
        self._process.communicate(timeout=120)


def compare(subjects: dict[str, Subject], what: str, number: int, rounds: int) -> None:
    """Let them take turns, and print the medians of both, and of the ratios of the rounds."""
    for subject in subjects.values():
        subject.ask(what, number)  # to warm up
    found: dict[str, list[dict[str, float]]] = {label: [] for label in subjects}
    for turn in range(rounds):
        for label in list(subjects)[:: 1 if turn % 2 else -1]:
            found[label].append(subjects[label].ask(what, number))
    theirs, ours = found.values()
    for kind in theirs[0]:
        pairs = [(one[kind], other[kind]) for one, other in zip(theirs, ours, strict=True)]
        middle = [statistics.median(values) for values in zip(*pairs, strict=True)]
        if kind == "threads":
            print(f"  {what:20} {kind:18} {middle[0]:9.0f} {middle[1]:14.0f}")
            continue
        low, ratio, high = statistics.quantiles((one / other for one, other in pairs), n=4)
        print(
            f"  {what:20} {kind.replace('seconds', 'us'):18} {middle[0] * 1e6:9.0f} {middle[1] * 1e6:14.0f}"
            f"   {ratio:.2f} ({low:.2f} to {high:.2f})",
            flush=True,
        )


def heading(text: str, rounds: int) -> None:
    print(f"{text}; medians of {rounds} rounds")
    print(
        f"  {'':20} {'for one':18} {'asgiref':>9} {'asgiref-meta':>14}   asgiref / asgiref-meta", flush=True
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--requests", type=int, default=40, help="in a round; default: %(default)s")
    parser.add_argument("--rounds", type=int, default=30, help="default: %(default)s")
    options = parser.parse_args()
    if options.rounds < 2:
        parser.error("--rounds must be 2 or more, to have a median")
    with tempfile.TemporaryDirectory(prefix="site-") as work:
        pythons = environments(Path(work))
        with ExitStack() as stack:
            subjects = {label: Subject(python, SITE / "inside.py") for label, python in pythons.items()}
            for subject in subjects.values():
                stack.callback(subject.close)
            heading("without a server", options.rounds)
            for page in PAGES:
                compare(subjects, page, options.requests, options.rounds)
        for server in ("uvicorn", "daphne"):
            with ExitStack() as stack:
                subjects = {
                    label: Subject(python, SITE / "drive.py", server, "rounds")
                    for label, python in pythons.items()
                }
                for subject in subjects.values():
                    stack.callback(subject.close)
                theirs, ours = (subject.read() for subject in subjects.values())
                if theirs != ours:
                    sys.exit(f"{server}: not the same answers, or crossings\n{theirs}\n{ours}")
                heading(f"served by {server}, with the same {ours['crossings']}", options.rounds)
                for page in (*PAGES, "messages"):
                    compare(subjects, page, options.requests, options.rounds)


if __name__ == "__main__":
    main()
