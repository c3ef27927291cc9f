"""Tell what matters here, check the bridges and measure what a crossing costs: `python -m asgi_sync`."""

from __future__ import annotations

import argparse
import os
import sys
from importlib import metadata

from . import __version__
from ._self_check import costs, flags, run_checks


def main(arguments: list[str] | None = None) -> int:
    """Print the report; return the exit status, which is 1 if a check has failed."""
    parser = argparse.ArgumentParser(
        prog="python -m asgi_sync",
        description="Tell what matters here, check the bridges and measure what a crossing costs.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    parser.add_argument(
        "--seconds",
        type=_seconds,
        default=0.3,
        help="how long to measure each kind of crossing; 0 leaves it out (default: %(default)s)",
    )
    options = parser.parse_args(arguments)
    _tell("version", f"asgi-sync {__version__}, asgi-local {metadata.version('asgi-local')}")
    for name, value in flags().items():
        _tell(name, value)
    _line("\nself-check")
    results = run_checks()
    for result in results:
        _line(f"  {'ok    ' if result.problem is None else 'FAILED'}  {result.title}")
        if result.problem is not None:
            _line(f"          {result.problem}")
    if options.seconds:
        _line(f"\nmedian cost of a crossing here, {os.cpu_count()} processors")
        for name, cost in costs(options.seconds).items():
            _line(f"  {cost * 1e6:8.1f} us  {name}")
    return int(any(result.problem is not None for result in results))


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds <= 60:
        raise argparse.ArgumentTypeError(f"must be a number of seconds from 0 to 60, not {text}")
    return seconds


def _line(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def _tell(name: str, value: str) -> None:
    _line(f"{name:24}{value}")


if __name__ == "__main__":
    sys.exit(main())
