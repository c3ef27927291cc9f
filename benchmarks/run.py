"""Run the benchmarks.

    python benchmarks/run.py                    all, and the report: docs/benchmarks.md with its charts
    python benchmarks/run.py --quick            a coarse try on this interpreter; the report is in results/quick
    python benchmarks/run.py --page             the report of the last whole run again, without measuring
    python benchmarks/run.py local              one script, as a table
    python benchmarks/run.py local --python python3.13 --python "python3.14 -X thread_inherit_context=1"

Each ``--python`` is an interpreter, with options if need be; the default is the one that runs this, and for all
scripts those of PYTHONS that are on the PATH. The figures go to ``benchmarks/results/`` as JSON as well.
``--markdown`` prints the table for a README.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from harness import Bench
from harness._report import environment, headline, label, markdown, rows

HERE = Path(__file__).parent
RESULTS = HERE / "results"
PAGE = HERE.parent / "docs" / "benchmarks.md"
SCRIPTS = ["crossing", "local", "iterators", "wsgi", "wsgi_http", "server"]
MODES = {"pinned": (True,), "unpinned": (False,), "both": (True, False)}

#: What a whole run measures where. All of it takes four minutes on one interpreter: the two that the targets
#: are for have it; real HTTP, where a turn lasts a second, is for one of them. The others show, in a minute
#: each, whether the two bases hold there.
BASES = ["crossing", "local"]
IN_PROCESS = [script for script in SCRIPTS if script != "wsgi_http"]
PYTHONS = {"python3.13": SCRIPTS, "python3.14": IN_PROCESS, "python3.15": BASES, "python3.13t": BASES}
OF_OTHERS = ["--modes", "pinned"]

QUICK = ["--quick", "--rounds", "3", "--seconds", "0.002", "--modes", "pinned"]
WHOLE = ["--rounds", "7", "--seconds", "0.01"]
#: Seconds for one script on one interpreter, which takes two minutes at most: longer means that it hangs.
LIMIT = 1800


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("script", nargs="?", choices=SCRIPTS, help="default: all of them")
    parser.add_argument("--python", action="append", metavar="COMMAND", help="interpreter; may be repeated")
    parser.add_argument("--quick", action="store_true", help="only to try that it works: coarse figures")
    parser.add_argument("--page", action="store_true", help="write the report of the last whole run again")
    parser.add_argument("--rounds", type=int, default=9, help="rounds per comparison of a script (default 9)")
    parser.add_argument(
        "--seconds", type=float, default=0.02, help="per subject and round of a script (default 0.02)"
    )
    parser.add_argument(
        "--modes", choices=MODES, help="pinned to one core or not (default: as the script wants)"
    )
    parser.add_argument("--only", default="", help="only comparisons with this in their title")
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Run the script in this interpreter."""
    script = importlib.import_module(options.script)
    modes = MODES[options.modes or getattr(script, "MODES", "pinned")]
    bench = Bench(options.rounds, options.seconds, modes, options.only, quick=options.quick)
    script.run(bench)
    return {
        "name": options.script,
        "environment": environment(),
        "comparisons": bench.as_json(),
        "notes": bench.notes,
    }


def measure_with(command: str, arguments: list[str]) -> dict[str, Any]:
    """Run the script in another interpreter, which need not have anything installed.

    Raises:
        subprocess.CalledProcessError: It failed, and has said why.
        subprocess.TimeoutExpired: It took longer than LIMIT.
    """
    sources = [str(path) for path in sorted((HERE.parent / "packages").glob("*/src"))]
    inherited = os.environ.get("PYTHONPATH", "")
    env = os.environ | {"PYTHONPATH": os.pathsep.join([*sources, *filter(None, [inherited])])}
    done = subprocess.run(
        [*shlex.split(command), str(Path(__file__)), *arguments, "--measure"],
        env=env,
        stdout=subprocess.PIPE,
        check=True,
        text=True,
        timeout=LIMIT,
    )
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def keep(result: dict[str, Any], folder: Path) -> None:
    path = folder / f"{result['name']}-{label(result['environment'])}.json"
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def show(result: dict[str, Any]) -> None:
    from rich.console import Console  # only where the table is drawn, not where it is measured
    from rich.table import Table

    head, body = rows(result)
    table = Table(
        title=headline(result),
        title_justify="left",
        caption="ratio: the peer's time over ours, median (range)",
    )
    for index, column in enumerate(head):
        table.add_column(column, justify="left" if index == 0 else "right")
    for row in body:
        table.add_row(*row)
    Console(width=None if sys.stdout.isatty() else 200).print(table)


def run_one(options: argparse.Namespace, arguments: list[str]) -> int:
    RESULTS.mkdir(exist_ok=True)
    for command in options.python or [shlex.quote(sys.executable)]:
        result = measure_with(command, arguments)
        keep(result, RESULTS)
        if options.markdown:
            print(f"{headline(result)}\n\n{markdown(result)}\n")
        else:
            show(result)
    return 0


def plan(commands: list[str] | None, quick: bool) -> list[tuple[str, str]]:
    """Return (interpreter, script), an interpreter after the other."""
    if commands:
        return [(command, script) for command in commands for script in SCRIPTS]
    here = {shlex.quote(sys.executable): IN_PROCESS if quick else SCRIPTS}
    found = (
        {} if quick else {command: scripts for command, scripts in PYTHONS.items() if shutil.which(command)}
    )
    return [(command, script) for command, scripts in (found or here).items() for script in scripts]


def settings(command: str, script: str, quick: bool) -> list[str]:
    if quick:
        return QUICK
    if script == "wsgi_http":
        return ["--rounds", "3"]
    if script == "wsgi":  # in less time adapters hardly get beyond their first requests, 32 at a time
        return [*WHOLE[:2], "--seconds", "0.05"]
    return [*WHOLE, *OF_OTHERS] if PYTHONS.get(command) == BASES else WHOLE


def run_all(options: argparse.Namespace) -> int:
    """Run every script, then write the report. What fails does not keep the others from being measured."""
    folder = RESULTS / ("quick" if options.quick else "all")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    failed: list[str] = []
    began = time.monotonic()
    steps = plan(options.python, options.quick)
    for number, (command, script) in enumerate(steps, 1):
        started = time.monotonic()
        print(f"[{number}/{len(steps)}] {script} on {command} ...", end=" ", flush=True)
        try:
            keep(measure_with(command, [script, *settings(command, script, options.quick)]), folder)
        except subprocess.CalledProcessError as error:
            failed.append(f"{script} on {command} (status {error.returncode})")
        except subprocess.TimeoutExpired:
            failed.append(f"{script} on {command} (not done after {LIMIT} s)")
        print(f"{time.monotonic() - started:.0f} s", flush=True)
    (folder / "run.json").write_text(json.dumps({"seconds": time.monotonic() - began}), encoding="utf-8")
    print(f"{(time.monotonic() - began) / 60:.1f} minutes; the figures are in {folder}")
    if failed:
        print(f"failed: {', '.join(failed)}. No report was written.", file=sys.stderr)
        return 1
    return write_page(folder, folder / "benchmarks.md" if options.quick else PAGE)


def write_page(folder: Path, page: Path) -> int:
    from harness._page import write

    if not (folder / "run.json").is_file():
        print(f"there is no whole run in {folder}: run this without arguments", file=sys.stderr)
        return 1
    results = [json.loads(file.read_text(encoding="utf-8")) for file in folder.glob("*-*.json")]
    order = {script: number for number, script in enumerate(SCRIPTS)}
    # 3.13t comes after all others: it is another build, not a later version.
    results.sort(key=lambda r: (order[r["name"]], r["environment"]["free_threaded"], label(r["environment"])))
    seconds = json.loads((folder / "run.json").read_text(encoding="utf-8"))["seconds"]
    write(results, seconds, page)
    print(f"the report is {page}")
    return 0


def main(arguments: list[str]) -> int:
    options = parse(arguments)
    if options.measure:
        print(json.dumps(measure(options)))
        return 0
    if options.page:
        return write_page(RESULTS / "all", PAGE)
    if options.script:
        return run_one(options, arguments)
    return run_all(options)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
