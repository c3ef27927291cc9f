"""The rules of the house: what is public, what every package has. (Who imports whom: test_architecture.py.)"""

import importlib
import re
import subprocess
import sys

import pytest
from _imports import public_modules, sources

from _packages import PACKAGES, ROOT, Package

packages = pytest.mark.parametrize("package", PACKAGES.values(), ids=PACKAGES.keys())

OWNERS = {package.module: package.name for package in PACKAGES.values()}


PUBLIC_MODULES = [name for package in PACKAGES.values() for name in public_modules(package)]


@pytest.mark.parametrize("name", PUBLIC_MODULES)
def test_public_module_says_what_it_offers(name: str) -> None:
    module = importlib.import_module(name)
    assert module.__doc__, f"{name} has no docstring"
    own = {key for key in vars(module) if not key.startswith("_")}
    if not hasattr(module, "__all__"):
        submodules = {
            other.removeprefix(f"{name}.") for other in PUBLIC_MODULES if other.startswith(f"{name}.")
        }
        assert own <= submodules, f"{name} offers names and has no __all__"
        return
    names = list(module.__all__)
    assert len(names) == len(set(names))
    missing = [key for key in names if not hasattr(module, key)]
    assert missing == []
    private = [key for key in names if key.startswith("_") and key != "__version__"]
    assert private == []


@pytest.mark.parametrize("name", [name for name in PUBLIC_MODULES if not name.startswith("asgiref")])
def test_what_a_module_offers_is_documented(name: str) -> None:
    module = importlib.import_module(name)
    offered = [(key, getattr(module, key)) for key in getattr(module, "__all__", [])]
    own = [(key, item) for key, item in offered if getattr(item, "__module__", "").split(".")[0] in OWNERS]
    bare = [key for key, item in own if callable(item) and not item.__doc__]
    assert bare == []


@packages
def test_nothing_happens_at_import(package: Package) -> None:
    """No thread, no event loop, no warning, nothing written."""
    program = f"""
import asyncio, sys, threading
for name in {public_modules(package)!r}:
    __import__(name)
assert threading.enumerate() == [threading.main_thread()], threading.enumerate()
assert asyncio._get_running_loop() is None
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@packages
def test_modules_are_short(package: Package) -> None:
    lengths = {file.name: len(file.read_text(encoding="utf-8").splitlines()) for file in sources(package)}
    assert {name: length for name, length in lengths.items() if length > 350} == {}


@packages
def test_package_has_its_papers(package: Package) -> None:
    for name in ("README.md", "CHANGELOG.md", "LICENSE", "pyproject.toml"):
        assert (package.folder / name).read_text(encoding="utf-8").strip()
    assert (package.folder / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()
    assert (package.source / "py.typed").is_file()
    assert any(package.folder.glob("tests/test_*.py"))


@packages
def test_version_is_a_literal_and_the_newest_in_the_changelog(package: Package) -> None:
    assert importlib.import_module(package.module).__version__ == package.version
    changelog = (package.folder / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = re.search(r"^## (\S+)", changelog, re.MULTILINE)
    assert newest is not None
    assert newest.group(1) == package.version
