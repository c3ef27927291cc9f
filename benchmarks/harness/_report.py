"""Where the figures come from, and the table."""

from __future__ import annotations

import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

from ._peers import PEERS, installed_version, peer_folder


def environment() -> dict[str, Any]:
    """Return what a reader has to know to judge the figures."""
    return {
        "date": time.strftime("%Y-%m-%d"),
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "free_threaded": not getattr(sys, "_is_gil_enabled", lambda: True)(),
        "thread_inherit_context": bool(getattr(sys.flags, "thread_inherit_context", False)),
        "machine": f"{os.cpu_count()} cores, {'virtual machine' if _is_virtual() else 'physical machine'}, "
        f"{platform.system()} {platform.machine()}",
        "peers": {name: installed_version(name) for name in PEERS if peer_folder(name).is_dir()},
    }


def _is_virtual() -> bool:
    try:
        return "hypervisor" in Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False


def label(about: dict[str, Any]) -> str:
    """Return the short name of an interpreter, good for a file name."""
    inherit = "-inherit" if about["thread_inherit_context"] else ""
    return f"{about['python']}{'t' if about['free_threaded'] else ''}{inherit}"


def duration(seconds: float) -> str:
    """Return *seconds* with three digits and a unit."""
    for factor, unit in ((1e9, "ns"), (1e6, "us"), (1e3, "ms")):
        if seconds * factor < 1000:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds:.3g} s"


def rows(result: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Return the head and the rows of a table: a row per comparison, a column per subject."""
    subjects: list[str] = []
    for comparison in result["comparisons"]:
        subjects += [name for name in comparison["seconds"] if name not in subjects]
    body: list[list[str]] = []
    for comparison in result["comparisons"]:
        title = comparison["title"] + ("" if comparison["pinned"] else " (not pinned)")
        body.append([title] + [_entry(comparison, name) for name in subjects])
    return ["", *subjects], body


def _entry(comparison: dict[str, Any], name: str) -> str:
    if name not in comparison["median"]:
        return ""
    time_taken = duration(comparison["median"][name])
    if name == comparison["ours"]:
        return time_taken
    ratio = comparison["ratio"][name]
    return f"{time_taken}  {ratio['median']:.2f}x ({ratio['low']:.2f}-{ratio['high']:.2f})"


def headline(result: dict[str, Any]) -> str:
    """Return one line about the conditions."""
    about = result["environment"]
    extra = ", free-threaded" if about["free_threaded"] else ""
    extra += ", -X thread_inherit_context=1" if about["thread_inherit_context"] else ""
    peers = ", ".join(f"{name} {version}" for name, version in about["peers"].items())
    machine = f"{about['implementation']} {about['python']}{extra}; {about['machine']}"
    return f"{result['name']}: {machine}; {about['date']}; {peers}"


def markdown(result: dict[str, Any]) -> str:
    """Return the table for a README."""
    head, body = rows(result)
    lines = [head, ["---"] * len(head), *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
