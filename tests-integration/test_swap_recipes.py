"""The ways to install asgiref-meta where Django and Channels want asgiref; and the way back."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from _environments import (
    STAND_IN,
    UPSTREAM,
    Environment,
    index_lacks,
    on_one_python,
    only_in_consumers,
    run,
    stand_in_wheel,
    uv,
    wheels,
)

from _packages import PACKAGES, ROOT

pytestmark = pytest.mark.timeout(600)
WANTED = ("django>=5.2,<6", "channels")


@pytest.fixture(autouse=True)
def _index() -> None:
    if reason := index_lacks():
        pytest.skip(reason)


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Environment]]:
    folder = tmp_path / ".venv"
    yield lambda **options: Environment(folder, **options)
    shutil.rmtree(folder, ignore_errors=True)


def assert_swapped(environment: Environment) -> None:
    """Look as a user does: whose the package is, what the metadata says, that Django and Channels work."""
    status, report = environment.doctor()
    assert (status, report["problems"], report["notes"]) == (0, [], [])
    assert "compatible" in environment.uv("check")
    program = """
import importlib.metadata, django, channels, asgi_sync, asgiref.sync
from django.core.handlers.asgi import ASGIHandler
from channels.db import database_sync_to_async
assert issubclass(type(database_sync_to_async(print)), asgi_sync.SyncToAsync)
assert asgiref.sync.async_to_sync is asgi_sync.async_to_sync
print(importlib.metadata.version("asgiref"))
"""
    assert environment.run(program) == "3.13.0+meta.1"


@only_in_consumers
def test_pip_direct_reference(make: Callable[..., Environment]) -> None:
    environment = make(pip=True)
    reference = f"asgiref @ {stand_in_wheel().as_uri()}"
    environment.pip("install", "-q", "--find-links", wheels(), reference, *WANTED)
    assert_swapped(environment)
    # A later install of something else that needs asgiref changes nothing.
    environment.pip("install", "-q", "--find-links", wheels(), "--upgrade", "daphne")
    assert_swapped(environment)


@only_in_consumers
def test_pip_constraints_file(make: Callable[..., Environment], tmp_path: Path) -> None:
    environment = make(pip=True)
    (tmp_path / "constraints.txt").write_text("asgiref ==3.13.0+meta.1\n")
    arguments = ("-c", tmp_path / "constraints.txt", "--find-links", wheels())
    environment.pip("install", "-q", *arguments, *WANTED)
    assert_swapped(environment)


@only_in_consumers
def test_paths(make: Callable[..., Environment]) -> None:
    environment = make()
    environment.uv("install", *(package.folder for package in PACKAGES.values()), STAND_IN, *WANTED)
    assert_swapped(environment)


@only_in_consumers
def test_git_urls(make: Callable[..., Environment], tmp_path: Path) -> None:
    if not shutil.which("git"):
        pytest.skip("git is not on this machine")
    repository = tmp_path / "repository"
    shutil.copytree(
        ROOT / "packages", repository / "packages", ignore=shutil.ignore_patterns("__pycache__", ".*")
    )
    git = ("git", "-c", "user.name=n", "-c", "user.email=e@example.org", "-C", repository)
    run(*git, "init", "-q")
    run(*git, "add", "-A")
    run(*git, "commit", "-qm", "All")
    folders = {package.name: f"packages/{package.name}" for package in PACKAGES.values()}
    folders["asgiref"] = "packages/asgiref-meta/stand-in"
    references = [f"{name} @ git+{repository.as_uri()}#subdirectory={at}" for name, at in folders.items()]
    environment = make()
    environment.uv("install", *references, *WANTED)
    assert_swapped(environment)


@on_one_python
def test_uv_project_with_sources_and_an_override(make: Callable[..., Environment], tmp_path: Path) -> None:
    environment = make()
    (tmp_path / "pyproject.toml").write_text(f"""
[project]
name = "site"
version = "1"
requires-python = ">={sys.version_info[0]}.{sys.version_info[1]}"
dependencies = ["asgiref", "channels", "django>=5.2,<6"]

[tool.uv]
override-dependencies = ["asgiref ==3.13.0+meta.1"]
find-links = ["{wheels()}"]

[tool.uv.sources]
asgiref = {{ path = "{stand_in_wheel()}" }}
""")
    run(uv(), "sync", "--quiet", "--python", environment.python, cwd=tmp_path)
    assert_swapped(environment)
    assert 'version = "3.13.0+meta.1"' in (tmp_path / "uv.lock").read_text()


@only_in_consumers
def test_poetry_project(make: Callable[..., Environment], tmp_path: Path) -> None:
    tool = Environment(tmp_path / "tool", pip=True)
    tool.uv("install", "poetry>=2")
    # By its simple interface, which mirrors have: without a source poetry asks for another one.
    index = tool.run("from pip._internal.models.index import PyPI; print(PyPI.simple_url)")
    ours = "\n".join(
        f'{wheel.name.split("-")[0].replace("_", "-")} = {{ path = "{wheel}" }}'
        for wheel in wheels().glob("*.whl")
    )
    names = ", ".join(f'"{name}"' for name in ("asgiref", *PACKAGES))
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    (tmp_path / "pyproject.toml").write_text(f"""
[project]
name = "site"
version = "1"
requires-python = ">={version},<3.{sys.version_info[1] + 1}"
dependencies = ["channels", "django>=5.2,<6", {names}]

[tool.poetry]
package-mode = false

[tool.poetry.dependencies]
{ours}

[[tool.poetry.source]]
name = "simple"
url = "{index}"
priority = "primary"
""")
    environment = make()
    # poetry installs into the environment that is active.
    variables = {**os.environ, "VIRTUAL_ENV": str(environment.folder)}
    done = subprocess.run(
        [tool.python.with_name("poetry"), "install", "--no-interaction"],
        cwd=tmp_path, env=variables, capture_output=True, text=True, timeout=500,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert_swapped(environment)


@only_in_consumers
def test_pdm_project_with_an_override(make: Callable[..., Environment], tmp_path: Path) -> None:
    tool = Environment(tmp_path / "tool")
    # With the versions that it was released with: it does not keep up with all of its own dependencies.
    tool.uv("install", "pdm[locked]")
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    (tmp_path / "pyproject.toml").write_text(f"""
[project]
name = "site"
version = "1"
requires-python = ">={version},<3.{sys.version_info[1] + 1}"
dependencies = ["asgiref", "asgiref-meta", "channels", "django>=5.2,<6"]

[tool.pdm]
distribution = false

[tool.pdm.resolution.overrides]
asgiref = "{stand_in_wheel().as_uri()}"

[[tool.pdm.source]]
name = "wheels"
type = "find_links"
url = "{wheels().as_uri()}"
""")
    environment = make()  # pdm uses the .venv beside the project
    run(tool.python.with_name("pdm"), "install", "--no-self", cwd=tmp_path)
    assert_swapped(environment)
    assert 'name = "asgiref-meta"' in (tmp_path / "pdm.lock").read_text()


@only_in_consumers
def test_the_line_in_a_dockerfile(make: Callable[..., Environment]) -> None:
    """The RUN line of the page, with its folder replaced by the one that has the wheels."""
    page = (ROOT / "docs" / "switching-from-asgiref.md").read_text()
    (line,) = re.findall(r"^RUN (python -m pip install .*)$", page, re.MULTILINE)
    environment = make(pip=True)
    command = line.replace("python", str(environment.python)).replace("/wheels", str(wheels()))
    run("sh", "-c", command.replace("-r requirements.txt", "'django>=5.2,<6' channels"))
    assert_swapped(environment)


@only_in_consumers
def test_uv_without_a_stand_in(make: Callable[..., Environment], tmp_path: Path) -> None:
    """The resolver is told to leave asgiref out: the package is whole, and no distribution has the name."""
    environment = make()
    (tmp_path / "overrides.txt").write_text("asgiref ; sys_platform == 'never'\n")
    overrides = ("--override", tmp_path / "overrides.txt", "--find-links", wheels())
    environment.uv("install", *overrides, "asgiref-meta", *WANTED)
    status, report = environment.doctor()
    assert (status, report["problems"], report["stand_in"]) == (0, [], False)
    assert "No distribution is named asgiref" in report["notes"][0]


@only_in_consumers
def test_the_way_there_in_a_running_environment_and_back(make: Callable[..., Environment]) -> None:
    environment = make(pip=True)
    environment.uv("install", UPSTREAM, *WANTED)
    environment.pip("uninstall", "-q", "--yes", "asgiref")
    environment.pip("install", "-q", "--find-links", wheels(), "--no-index", stand_in_wheel())
    assert_swapped(environment)
    # And back.
    ours = ("asgiref", "asgiref-meta", "asgi-wsgi", "asgi-server", "asgi-sync", "asgi-local")
    environment.pip("uninstall", "-q", "--yes", *ours)
    environment.pip("install", "-q", UPSTREAM)
    assert "compatible" in environment.uv("check")
    program = """
import importlib.metadata, importlib.util, asgiref.sync, django.core.handlers.asgi, channels.db
assert asgiref.sync.SyncToAsync.__module__ == "asgiref.sync"
assert not importlib.util.find_spec("asgi_sync")
print(importlib.metadata.version("asgiref"))
"""
    assert environment.run(program) == "3.13.0"


@only_in_consumers
def test_the_way_there_without_removing_asgiref_first(make: Callable[..., Environment]) -> None:
    """pip installs asgiref-meta, then removes the old asgiref and its files: the doctor tells, and helps."""
    environment = make(pip=True)
    environment.uv("install", UPSTREAM, *WANTED)
    environment.pip("install", "-q", "--find-links", wheels(), "--no-index", stand_in_wheel())
    status, report = environment.doctor()
    assert status == 1
    assert any(problem.startswith("Missing: ") for problem in report["problems"])
    advice = "python -m pip install --force-reinstall --no-deps asgiref-meta"
    assert report["advice"] == [advice]
    environment.pip(*advice.split()[3:], "-q", "--no-index", "--find-links", wheels())
    assert_swapped(environment)


@only_in_consumers
def test_a_private_index(make: Callable[..., Environment], tmp_path: Path) -> None:
    """Beside the public one, as pip's --extra-index-url and uv's --index have it."""
    for wheel in wheels().glob("*.whl"):
        page = tmp_path / "simple" / wheel.name.split("-")[0].replace("_", "-") / "index.html"
        page.parent.mkdir(parents=True)
        page.write_text(f'<!DOCTYPE html><a href="{wheel.as_uri()}">{wheel.name}</a>\n')
    index = (tmp_path / "simple").as_uri()
    environment = make(pip=True)
    environment.pip("install", "-q", "--extra-index-url", index, "asgiref-meta", *WANTED)
    assert_swapped(environment)
    environment.uv("uninstall", "asgiref", "asgiref-meta")
    environment.uv("install", "--index", index, "asgiref-meta", "asgiref==3.13.0", *WANTED)
    assert_swapped(environment)


@only_in_consumers
def test_a_folder_that_has_the_stand_in_is_enough(make: Callable[..., Environment]) -> None:
    """Its version is higher than that of the release whose interface it offers, so resolvers prefer it."""
    environment = make()
    environment.uv("install", "--find-links", wheels(), "asgiref-meta", "asgiref==3.13.0", *WANTED)
    assert_swapped(environment)


@on_one_python
def test_what_happens_without_a_recipe(make: Callable[..., Environment], tmp_path: Path) -> None:
    """Both on disk: the doctor finds it, whichever came last. This is what the recipes are for."""
    alone = tmp_path / "without-stand-in"
    shutil.copytree(wheels(), alone, ignore=shutil.ignore_patterns("asgiref-3*"))
    environment = make()
    environment.uv("install", "--find-links", alone, "asgiref-meta", *WANTED)
    status, report = environment.doctor()
    assert status == 1
    assert any("is installed too" in problem for problem in report["problems"])


@on_one_python
def test_the_stand_in_holds_a_name_and_no_files_of_asgiref() -> None:
    with zipfile.ZipFile(stand_in_wheel()) as archive:
        names = archive.namelist()
        metadata = archive.read("asgiref-3.13.0+meta.1.dist-info/METADATA").decode()
    assert not [name for name in names if name.startswith("asgiref/")]
    assert "\nName: asgiref\n" in metadata
    assert "\nRequires-Dist: asgiref-meta >=3.13.0,<3.14\n" in metadata
    assert (STAND_IN / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()
