"""`python -m asgiref` tells the truth in every state that installing and removing can leave."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from _environments import UPSTREAM, Environment, index_lacks, on_one_python, run, stand_in_wheel, wheels

pytestmark = [
    pytest.mark.timeout(600),
    # Installers and files, the same whatever interpreter asks; the package's own tests of the doctor run on all.
    on_one_python,
]


@pytest.fixture(autouse=True)
def _index() -> None:
    if reason := index_lacks():
        pytest.skip(reason)


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Environment]:
    yield Environment(tmp_path / "env")
    shutil.rmtree(tmp_path / "env")


def install_meta(environment: Environment) -> None:
    environment.uv("install", "--no-index", "--find-links", wheels(), "asgiref-meta")


def test_asgiref_meta_alone_is_well_and_a_note_tells_of_the_name(fresh: Environment) -> None:
    install_meta(fresh)
    status, report = fresh.doctor()
    assert (status, report["ok"], report["owner"], report["problems"]) == (0, True, "asgiref-meta", [])
    assert report["versions"]["asgiref"] is None
    assert "No distribution is named asgiref" in report["notes"][0]
    assert {"asgiref", "asgiref.sync"} <= {module["module"] for module in report["modules"]}


def test_with_the_stand_in_all_is_well(fresh: Environment) -> None:
    fresh.uv("install", "--no-index", "--find-links", wheels(), stand_in_wheel())
    status, report = fresh.doctor()
    assert (status, report["problems"], report["notes"], report["stand_in"]) == (0, [], [], True)
    assert "All installed packages are compatible" in fresh.uv("check")
    text = run(fresh.python, "-m", "asgiref", cwd=fresh.folder).stdout
    assert "the stand-in" in text
    assert text.rstrip().endswith("All is well: `import asgiref` gives asgiref-meta, whole.")


def test_asgiref_installed_over_it(fresh: Environment) -> None:
    install_meta(fresh)
    fresh.uv("install", UPSTREAM)
    assert fresh.run("import asgiref.sync as s; print(s.sync_to_async.__module__)") == "asgiref.sync"
    status, report = fresh.doctor()
    assert (status, report["owner"]) == (1, "asgiref")
    assert any("All modules are asgiref's" in problem for problem in report["problems"])

    # Removing asgiref takes the files that it has overwritten with it.
    fresh.uv("uninstall", "asgiref")
    status, report = fresh.doctor()
    assert (status, report["owner"]) == (1, None)
    assert "Missing: asgiref, asgiref.compatibility" in " ".join(report["problems"])
    assert any("force-reinstall --no-deps asgiref-meta" in advice for advice in report["advice"])

    # What it advises helps.
    fresh.uv("install", "--reinstall", "--no-deps", "--no-index", "--find-links", wheels(), "asgiref-meta")
    assert fresh.doctor()[0] == 0


def test_it_installed_over_asgiref(fresh: Environment) -> None:
    fresh.uv("install", UPSTREAM)
    install_meta(fresh)
    assert (
        fresh.run("import asgiref.sync as s; print(s.sync_to_async.__module__.split('.')[0])") == "asgi_sync"
    )
    status, report = fresh.doctor()
    assert (status, report["owner"]) == (1, "asgiref-meta")  # it works, and the next uninstall breaks it
    assert "asgiref 3.13.0 is installed too" in " ".join(report["problems"])

    # Removing asgiref-meta takes the doctor with it, and leaves what nobody can import: reinstalling helps.
    fresh.uv("uninstall", "asgiref-meta")
    done = run(fresh.python, "-m", "asgiref", cwd=fresh.folder, check=False)
    assert done.returncode == 1
    assert "asgiref" in done.stderr
    fresh.uv("install", "--reinstall", "--no-deps", UPSTREAM)
    assert fresh.run("import asgiref.sync as s; print(s.sync_to_async.__module__)") == "asgiref.sync"


def test_mixed_changed_and_missing_files(fresh: Environment) -> None:
    fresh.uv("install", UPSTREAM)
    folder = Path(fresh.run("import asgiref; print(asgiref.__path__[0])"))
    theirs = (folder / "sync.py").read_bytes()
    install_meta(fresh)
    # Anew, not in place: the file may be a hard link to the one in uv's cache.
    for name, content in (("sync.py", theirs), ("wsgi.py", b"nothing = 'of anybody'\n")):
        (folder / name).unlink()
        (folder / name).write_bytes(content)
    (folder / "timeout.py").unlink()
    status, report = fresh.doctor()
    owners = {module["module"]: module["owner"] for module in report["modules"]}
    assert (status, report["owner"]) == (1, None)
    assert (owners["asgiref.sync"], owners["asgiref.wsgi"], owners["asgiref.local"]) == (
        "asgiref", None, "asgiref-meta",
    )  # fmt: skip
    problems = "\n".join(report["problems"])
    assert "Modules of two distributions are mixed. Not asgiref-meta's: asgiref.sync." in problems
    assert "Not as any distribution has installed them: asgiref.wsgi." in problems
    assert "Missing: asgiref.timeout." in problems


def test_a_missing_sibling_is_named(fresh: Environment) -> None:
    install_meta(fresh)
    fresh.uv("uninstall", "asgi-server")
    status, report = fresh.doctor()
    assert status == 1
    assert "asgi-server is not installed." in report["problems"]
    assert any("`import asgiref.server` fails" in problem for problem in report["problems"])
    assert "python -m pip install asgi-server" in report["advice"]
