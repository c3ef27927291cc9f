"""The report of the benchmarks: charts and a page from made-up figures. What is measured is not tested here."""

import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest

from _packages import ROOT

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(autouse=True)
def harness(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))


def rows(**ratios: tuple[float, float, float]) -> list[Any]:
    from harness._charts import Ratio, Row

    row = Row("a call")
    row.ratios["3.13.0"] = {peer: Ratio(*ratio) for peer, ratio in ratios.items()}
    return [row]


def marks(svg: str) -> dict[str, float]:
    """Where the mark of each peer is, and where 1 is."""
    tree = ElementTree.fromstring(svg)
    found: dict[str, float] = {}
    for group in tree.iter(f"{SVG}g"):
        hint = group.find(f"{SVG}title")
        path = group.find(f"{SVG}path")
        if hint is not None and hint.text and path is not None:
            ends = path.attrib["d"].removeprefix("M").split(" ")[0], path.attrib["d"].rpartition("H")[2]
            found[hint.text.partition(":")[0]] = (float(ends[0]) + float(ends[1])) / 2
    (shade,) = (r for r in tree.iter(f"{SVG}rect") if r.attrib["fill"] == "#fbe9e7")
    found["one"] = float(shade.attrib["x"]) + float(shade.attrib["width"])
    return found


def test_chart_is_text_with_a_title_for_those_who_cannot_see_it() -> None:
    from harness._charts import chart

    tree = ElementTree.fromstring(chart("Crossing <both> ways", rows(asgiref=(3, 2.5, 4)), ["3.13.0"]))
    assert [element.text for element in tree.findall(f"{SVG}title")] == ["Crossing <both> ways"]
    assert "asgiref on 3.13.0" in (tree.findtext(f"{SVG}desc") or "")
    words = [element.text for element in tree.iter(f"{SVG}text")]
    assert {"a call", "asgiref", "3.13.0", "1", "1/2"} <= set(words)


def test_what_is_faster_than_we_are_is_on_the_shaded_side() -> None:
    from harness._charts import chart

    found = marks(chart("c", rows(asgiref=(3, 3, 3), bare=(0.5, 0.5, 0.5), level=(1, 1, 1)), ["3.13.0"]))
    assert found["bare"] < found["one"] < found["asgiref"]
    assert found["level"] == pytest.approx(found["one"], abs=0.2)


def test_axis_is_logarithmic() -> None:
    from harness._charts import chart

    found = marks(chart("c", rows(twice=(2, 2, 2), four=(4, 4, 4), half=(0.5, 0.5, 0.5)), ["3.13.0"]))
    octave = found["twice"] - found["one"]
    assert found["four"] - found["twice"] == pytest.approx(octave, abs=0.2)
    assert found["one"] - found["half"] == pytest.approx(octave, abs=0.2)


def test_figures_beyond_all_measure_stay_in_the_picture() -> None:
    from harness._charts import WIDTH, chart

    found = marks(chart("c", rows(slow=(1e6, 1e5, 1e7), quick=(1e-6, 1e-7, 1e-5)), ["3.13.0"]))
    assert all(0 <= place <= WIDTH for place in found.values())


def test_nothing_to_draw_is_an_error() -> None:
    from harness._charts import Row, chart

    with pytest.raises(ValueError, match="nothing to draw of 'c': 1 rows, no peer"):
        chart("c", [Row("a call")], ["3.13.0"])


def result(name: str = "local", python: str = "3.13.0", **peers: list[float]) -> dict[str, Any]:
    """What run.py keeps of a script with one comparison, in which we take a second."""
    from harness import Bench
    from harness._measure import Comparison

    bench = Bench()
    rounds = len(next(iter(peers.values())))
    seconds = {"asgi-local": [1.0] * rounds, **peers}
    bench.comparisons = [Comparison("get", True, seconds, "asgi-local")]
    about = {"date": "2026-11-21", "machine": "2 cores", "python": python, "implementation": "CPython"}
    about |= {"free_threaded": False, "thread_inherit_context": False, "peers": {"asgiref": "3.13.0"}}
    return {"name": name, "environment": about, "comparisons": bench.as_json(), "notes": ["12 bytes for one"]}


def page_of(results: list[dict[str, Any]], folder: Path) -> str:
    from harness._page import write

    write(results, 600.0, folder / "benchmarks.md")
    return (folder / "benchmarks.md").read_text(encoding="utf-8")


def test_page_says_where_and_how_it_was_measured(tmp_path: Path) -> None:
    text = page_of([result(asgiref=[3.0, 4.0, 2.0])], tmp_path)
    assert "Measured on 2026-11-21: 2 cores; CPython 3.13.0" in text
    assert "Beside asgiref 3.13.0." in text
    assert "tox run -e bench" in text
    assert "10 minutes" in text
    assert "12 bytes for one" in text
    assert "3.00x (2.00-4.00)" in text


def test_page_shows_a_chart_that_is_there(tmp_path: Path) -> None:
    text = page_of(
        [result(asgiref=[3.0, 4.0, 2.0]), result(python="3.14.0", asgiref=[3.0, 3.0, 3.0])], tmp_path
    )
    assert "](benchmarks/local.svg)" in text
    svg = (tmp_path / "benchmarks" / "local.svg").read_text(encoding="utf-8")
    assert ">CPython 3.13.0<" in svg
    assert ">CPython 3.14.0<" in svg


def test_page_lists_every_case_that_we_lose(tmp_path: Path) -> None:
    peers = {"asgiref": [0.5, 0.6, 0.9], "werkzeug": [0.8, 0.9, 1.2], "asgire": [1.1, 0.9, 1.2]}
    text = page_of([result(**peers, bare=[0.1, 0.1, 0.1])], tmp_path)
    lost, _, yardsticks = text.partition("## Where we lose")[2].partition("### Yardsticks")
    assert "| local: get | asgiref | **0.60** |" in lost
    assert "| local: get | werkzeug | 0.90 |" in lost
    assert "asgire " not in lost
    assert "bare" not in lost
    assert "| local: get | bare | **0.10** |" in yardsticks


def test_page_says_so_where_nothing_is_faster(tmp_path: Path) -> None:
    text = page_of([result(asgiref=[3.0, 4.0, 2.0])], tmp_path)
    assert text.partition("## Where we lose")[2].count("None.") == 2


def test_each_script_has_an_introduction() -> None:
    from harness._page import introduction

    for name in ("crossing", "local", "iterators", "wsgi", "wsgi_http", "server"):
        title, text = introduction(ROOT / "benchmarks" / f"{name}.py")
        assert title
        assert "python benchmarks" not in f"{title}{text}"


def test_soak_expects_what_abandoned_calls_raise(monkeypatch: pytest.MonkeyPatch) -> None:
    import soak

    run = soak.Soak(seconds=8, tasks=1, seed=1)
    run.told(None, {"message": "abandoned", "exception": soak.ExpectedError()})
    assert (run.abandoned, run.unexpected) == (1, [])
    run.told(None, {"message": "something else", "exception": ValueError()})
    run.told(None, {"message": "no exception"})
    assert (run.abandoned, len(run.unexpected)) == (1, 2)


def test_whole_run_measures_every_script(monkeypatch: pytest.MonkeyPatch) -> None:
    import run

    scripts = {file.stem for file in (ROOT / "benchmarks").glob("*.py")} - {"run", "soak"}
    assert set(run.SCRIPTS) == scripts
    monkeypatch.setattr(run.shutil, "which", lambda command: None if command.startswith("python3.1") else "")
    assert {script for _, script in run.plan(None, quick=False)} == scripts
    monkeypatch.setattr(run.shutil, "which", lambda command: command)
    assert ("python3.13", "wsgi") in run.plan(None, quick=False)
    assert "pinned" in run.settings("python3.13t", "local", quick=False)
    assert "pinned" not in run.settings("python3.13", "local", quick=False)


def test_script_that_fails_does_not_hide_the_others(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import subprocess

    import run

    def measure(command: str, arguments: list[str]) -> dict[str, Any]:
        if arguments[0] == "wsgi":
            raise subprocess.CalledProcessError(7, command)
        return result(arguments[0], asgiref=[2.0, 3.0, 4.0])

    monkeypatch.setattr(run, "measure_with", measure)
    monkeypatch.setattr(run, "RESULTS", tmp_path)
    monkeypatch.setattr(run, "PAGE", tmp_path / "docs" / "benchmarks.md")
    assert run.main(["--python", "python3"]) == 1
    assert "failed: wsgi on python3 (status 7). No report was written." in capsys.readouterr().err
    assert {file.stem for file in (tmp_path / "all").glob("*-*.json")} == {
        f"{script}-3.13.0" for script in ("crossing", "local", "iterators", "wsgi_http", "server")
    }
    assert not (tmp_path / "docs").exists()
    monkeypatch.setattr(run, "SCRIPTS", ["crossing", "local"])
    assert run.main(["--python", "python3"]) == 0
    assert "## Where we lose" in (tmp_path / "docs" / "benchmarks.md").read_text(encoding="utf-8")


def test_script_that_could_not_measure_says_so(tmp_path: Path) -> None:
    nothing = result("wsgi_http", asgiref=[2.0, 3.0, 4.0]) | {"comparisons": []}
    text = page_of([result(asgiref=[2.0, 3.0, 4.0]), nothing], tmp_path)
    assert "Not measured in this run" in text
