"""Run a script of benchmarks and show its table.

    python benchmarks/run.py local
    python benchmarks/run.py local --python python3.13 --python "python3.14 -X thread_inherit_context=1"

Each ``--python`` is an interpreter, with options if need be; the default is the one that runs this. The
figures go to ``benchmarks/results/<script>-<version>.json`` as well. ``--markdown`` prints the table for a
README.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

from harness import Bench
from harness._report import environment, headline, label, markdown, rows

HERE = Path(__file__).parent
RESULTS = HERE / "results"
SCRIPTS = sorted(path.stem for path in HERE.glob("*.py") if path.stem != "run")
MODES = {"pinned": (True,), "unpinned": (False,), "both": (True, False)}


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("script", choices=SCRIPTS)
    parser.add_argument("--python", action="append", metavar="COMMAND", help="interpreter; may be repeated")
    parser.add_argument("--rounds", type=int, default=9, help="rounds per comparison (default 9)")
    parser.add_argument(
        "--seconds", type=float, default=0.02, help="seconds per subject and round (default 0.02)"
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
    bench = Bench(options.rounds, options.seconds, modes, options.only)
    script.run(bench)
    return {"name": options.script, "environment": environment(), "comparisons": bench.as_json()}


def measure_with(command: str, arguments: list[str]) -> dict[str, Any]:
    """Run the script in another interpreter, which need not have anything installed."""
    sources = [str(path) for path in sorted((HERE.parent / "packages").glob("*/src"))]
    inherited = os.environ.get("PYTHONPATH", "")
    env = os.environ | {"PYTHONPATH": os.pathsep.join([*sources, *filter(None, [inherited])])}
    done = subprocess.run(
        [*shlex.split(command), str(Path(__file__)), *arguments, "--measure"],
        env=env,
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    result: dict[str, Any] = json.loads(done.stdout)
    return result


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


def main(arguments: list[str]) -> int:
    options = parse(arguments)
    if options.measure:
        print(json.dumps(measure(options)))
        return 0
    RESULTS.mkdir(exist_ok=True)
    for command in options.python or [shlex.quote(sys.executable)]:
        result = measure_with(command, arguments)
        path = RESULTS / f"{options.script}-{label(result['environment'])}.json"
        path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        if options.markdown:
            print(f"{headline(result)}\n\n{markdown(result)}\n")
        else:
            show(result)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
