"""The report: what was measured, where and how, the charts, the tables, and where we lose."""

from __future__ import annotations

import ast
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ._charts import Ratio, Row, chart
from ._report import label, markdown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

Result = dict[str, Any]

#: What does less than a bridge or a Local has to: no context, no cancellation, one value for everybody.
YARDSTICKS = ("bare", "ContextVar", "threading.local", "none set", "asyncio.run")
#: Other ways to use our own packages, beside the one that a comparison is about.
OURS = ("asgi-", "WsgiToAsgi", "WSGIMiddleware")


def write(results: Sequence[Result], seconds: float, page: Path) -> None:
    """Write `page`, and a folder of its name beside it with the charts."""
    folder = page.with_suffix("")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    lines = [*_head(results, seconds)]
    for script in dict.fromkeys(result["name"] for result in results):
        lines += _section(script, [result for result in results if result["name"] == script], folder)
    lines += _losses(results)
    page.write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")


def _head(results: Sequence[Result], seconds: float) -> list[str]:
    environments = [result["environment"] for result in results]
    about = environments[0]
    peers = {name: version for environment in environments for name, version in environment["peers"].items()}
    interpreters = dict.fromkeys(interpreter(environment) for environment in environments)
    rounds = sorted(
        {len(times) for r in results for c in r["comparisons"] for times in c["seconds"].values()}
    )
    shown = f"{rounds[0]}" if len(rounds) == 1 else f"{rounds[0]} to {rounds[-1]}"
    return [
        "# Benchmarks",
        "",
        "<!-- Written by benchmarks/run.py. Change that, not this. -->",
        "",
        f"Measured on {about['date']}: {about['machine']}; {', '.join(interpreters)}; asyncio's own event loop, but in",
        "rows that name uvloop.",
        f"Beside {', '.join(f'{name} {version}' for name, version in sorted(peers.items()))}.",
        "",
        "## How to read it",
        "",
        "Every figure is a ratio: how many times longer the peer took than we did, for the same work, on the same",
        f"interpreter. All subjects of a comparison take turns in each of {shown} rounds; the ratio is formed within",
        "a round, a mark is the median over the rounds, and the line through it reaches from the lowest to the",
        "highest. Where that line crosses 1, call it a draw. Absolute times are in the tables; they drift with the",
        "machine, so compare them only within a row.",
        "",
        "*Pinned* is with the whole process on one core, which shows what the code costs. Without that, waking a",
        "thread on another core is part of each crossing, and on a virtual machine that can cost more than all the",
        "rest; the charts for it stand beside.",
        "",
        "`bare` is the least code that does the same without any guarantee; `threading.local` and `ContextVar` are",
        "what a `Local` is made to replace. They are there to show the floor, and [where we lose](#where-we-lose)",
        "lists every case in which something is faster than we are.",
        "",
        "## How to repeat it",
        "",
        "```console",
        "$ tox run -e bench               # all of it, and this page",
        "$ tox run -e bench -- --quick    # a coarse try in benchmarks/results",
        "$ tox run -e bench -- local      # one script, as a table",
        "```",
        "",
        f"All of it took {seconds / 60:.0f} minutes here. Nothing else should run on the machine meanwhile.",
        "",
    ]


def _section(script: str, results: Sequence[Result], folder: Path) -> list[str]:
    title, text = introduction(Path(__file__).parents[1] / f"{script}.py")
    lines = [f"## {title}", "", *([text, ""] if text else [])]
    for pinned, how in ((True, "pinned to one core"), (False, "not pinned")):
        rows, interpreters = table_of_ratios(results, pinned)
        if not rows:
            continue
        name = f"{script}{'' if pinned else '-unpinned'}.svg"
        drawn = chart(f"{title}, {how}", rows, interpreters)
        (folder / name).write_text(drawn, encoding="utf-8")
        lines += [f"![{title}, {how}: a chart of the figures in the tables below]({folder.name}/{name})", ""]
    for result in results:
        for note in result["notes"]:
            lines += [f"- {interpreter(result['environment'])}: {note}"]
    if any(result["notes"] for result in results):
        lines.append("")
    if not any(result["comparisons"] for result in results):
        lines += ["Not measured in this run: what it needs was not there.", ""]
    for result in filter(lambda result: result["comparisons"], results):
        summary = f"Figures of {script} on {interpreter(result['environment'])}"
        lines += ["<details>", f"<summary>{summary}</summary>", "", markdown(result), "", "</details>", ""]
    return lines


def introduction(script: Path) -> tuple[str, str]:
    """The first line of a script's docstring, as a title, and the rest."""
    docstring = ast.get_docstring(ast.parse(script.read_text(encoding="utf-8"))) or script.stem
    first, _, rest = docstring.partition("\n\n")
    paragraphs = rest.split("\n\n")
    # How it is called is said on the page; a paragraph with a program is for those who read the script.
    text = "\n\n".join(
        p for p in paragraphs if p and not p.startswith("    ") and "python benchmarks" not in p
    )
    title, _, details = first.replace("\n", " ").rstrip(".").partition(": ")
    sentence = f"{details[:1].upper()}{details[1:]}." if details else ""
    return title, "\n\n".join(filter(None, (sentence, text)))


def interpreter(about: dict[str, Any]) -> str:
    extra = " free-threaded" if about["free_threaded"] else ""
    extra += " -X thread_inherit_context=1" if about["thread_inherit_context"] else ""
    return f"CPython {about['python']}{extra}"


def table_of_ratios(results: Sequence[Result], pinned: bool) -> tuple[list[Row], list[str]]:
    """A row per comparison with the figures of all interpreters, and their short names."""
    rows: dict[str, Row] = {}
    interpreters: list[str] = []
    for result in results:
        name = f"CPython {label(result['environment'])}"
        for comparison in result["comparisons"]:
            if comparison["pinned"] != pinned:
                continue
            row = rows.setdefault(comparison["title"], Row(comparison["title"], comparison["ours"]))
            row.ratios[name] = {peer: Ratio(**ratio) for peer, ratio in comparison["ratio"].items()}
            if name not in interpreters:
                interpreters.append(name)
    return list(rows.values()), interpreters


def _losses(results: Sequence[Result]) -> list[str]:
    names = list(dict.fromkeys(label(result["environment"]) for result in results))
    lines = [
        "## Where we lose",
        "",
        "All cases in which the median of another is below 1 on an interpreter, pinned or not. A figure in bold means",
        "that it was faster in every round.",
        "",
    ]
    for title, wanted in (
        ("Peers", lambda peer: peer not in YARDSTICKS and not peer.startswith(OURS)),
        ("Yardsticks, which do less", lambda peer: peer in YARDSTICKS),
    ):
        body = _losing(results, names, wanted)
        lines += [f"### {title}", ""]
        if not body:
            lines += ["None.", ""]
            continue
        lines += _markdown_table(["case", "faster", *names], body)
    return lines


def _losing(
    results: Sequence[Result], names: Sequence[str], wanted: Callable[[str], bool]
) -> list[list[str]]:
    found: dict[str, dict[str, dict[str, str]]] = {}
    for result in results:
        for comparison in result["comparisons"]:
            how = "" if comparison["pinned"] else " (not pinned)"
            case = found.setdefault(f"{result['name']}: {comparison['title']}{how}", {})
            for peer, ratio in comparison["ratio"].items():
                if wanted(peer) and ratio["median"] < 1:
                    emphasis = "**" if ratio["high"] < 1 else ""
                    cells = case.setdefault(peer, {})
                    cells[label(result["environment"])] = f"{emphasis}{ratio['median']:.2f}{emphasis}"
    return [
        [case, peer, *(cells.get(name, "") for name in names)]
        for case, peers in found.items()
        for peer, cells in peers.items()
    ]


def _markdown_table(head: Sequence[str], body: Iterable[Sequence[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *body]
    return [*(f"| {' | '.join(line)} |" for line in lines), ""]
