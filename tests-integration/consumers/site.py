"""Measure the Django site in tests-integration/django_site with asgiref and with asgiref-meta, side by side.

    python tests-integration/consumers/site.py [--requests 200] [--rounds 3]

The two take turns, and the median of the rounds is printed. The answers must be equal.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from run import ROOT, UPSTREAM, build_wheels, environment

NEEDS = ("django>=5.2,<6", "channels", "channels_redis", "daphne", "httpx", "uvicorn", "websockets")
DRIVE = ROOT / "tests-integration" / "django_site" / "drive.py"


def environments(work: Path) -> dict[str, Path]:
    stand_in = build_wheels(work / "wheels")
    return {
        label: environment(provider, work / "wheels", work / label, NEEDS)
        for label, provider in (("asgiref", UPSTREAM), ("asgiref-meta", stand_in))
    }


def drive(python: Path, server: str, requests: int) -> dict[str, Any]:
    command = [str(python), "-W", "ignore", str(DRIVE), server, str(requests)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def without_server(pythons: dict[str, Path], rounds: int) -> None:
    """Print the processor time of a request, in the best of the rounds."""
    best: dict[str, dict[str, float]] = {label: {} for label in pythons}
    for _ in range(rounds):
        for label, python in pythons.items():
            command = [str(python), "-W", "ignore", str(DRIVE.with_name("inside.py"))]
            done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=True)
            for page, found in json.loads(done.stdout).items():
                best[label][page] = min(found, best[label].get(page, found))
    print("without a server, processor us a request, best:", flush=True)
    table({label: [found] for label, found in best.items()}, print)


def flat(figures: dict[str, Any], prefix: str = "") -> dict[str, float]:
    found: dict[str, float] = {}
    for name, value in figures.items():
        found |= flat(value, f"{prefix}{name}, ") if isinstance(value, dict) else {prefix + name: value}
    return found


def table(rounds: dict[str, list[dict[str, float]]], line: Callable[[str], None]) -> None:
    for name in rounds["asgiref"][0]:
        theirs, ours = (statistics.median(found[name] for found in rounds[who]) for who in rounds)
        line(
            f"  {name:40} {theirs:12.0f} {ours:14.0f}   x {ours / theirs:.2f}"
            if theirs
            else f"  {name}: none"
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--requests", type=int, default=200, help="of each page; default: %(default)s")
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="site-") as work:
        pythons = environments(Path(work))
        without_server(pythons, options.rounds)
        for server in ("uvicorn", "daphne"):
            rounds: dict[str, list[dict[str, float]]] = {label: [] for label in pythons}
            answers = []
            for _ in range(options.rounds):
                for label, python in pythons.items():
                    found = drive(python, server, options.requests)
                    answers.append(found["answers"])
                    rounds[label].append(flat(found["figures"]))
            print(f"{server}, median of {options.rounds} {'':24} asgiref   asgiref-meta", flush=True)
            table(rounds, print)
            if any(answer != answers[0] for answer in answers):
                sys.exit(f"{server}: the answers are not the same")


if __name__ == "__main__":
    main()
