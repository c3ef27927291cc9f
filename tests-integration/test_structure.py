"""The rules of the house: who imports whom, what is public, what every package has."""

import ast
import importlib
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from _packages import PACKAGES, ROOT, Package

packages = pytest.mark.parametrize("package", PACKAGES.values(), ids=PACKAGES.keys())

OWNERS = {package.module: package.name for package in PACKAGES.values()}


def sources(package: Package) -> list[Path]:
    return sorted(package.source.glob("**/*.py"))


def module_name(package: Package, file: Path) -> str:
    parts = file.relative_to(package.source.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def public_modules(package: Package) -> list[str]:
    names = [module_name(package, file) for file in sources(package)]
    return [name for name in names if not any(part.startswith("_") for part in name.split("."))]


PUBLIC_MODULES = [name for package in PACKAGES.values() for name in public_modules(package)]


def imports(file: Path) -> Iterator[tuple[str, int]]:
    """Dotted names that a file imports, from where it is: `from a.b import c` gives a.b.c."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)


def optional_dependencies(package: Package) -> set[str]:
    project = tomllib.loads((package.folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras: dict[str, list[str]] = project.get("optional-dependencies", {})
    return {re.split(r"[^\w-]", requirement)[0] for extra in extras.values() for requirement in extra}


@packages
def test_package_imports_only_what_it_declares(package: Package) -> None:
    modules = {PACKAGES[name].module for name in package.dependencies}
    allowed = {package.module, *modules, *optional_dependencies(package), *sys.stdlib_module_names}
    allowed.add("_typeshed")  # exists for type checkers alone
    undeclared = [
        f"{file.relative_to(ROOT)}:{line} imports {name}"
        for file in sources(package)
        for name, line in imports(file)
        if name.split(".")[0] not in allowed
    ]
    assert undeclared == []


@packages
def test_package_imports_what_it_declares(package: Package) -> None:
    used = {name.split(".")[0] for file in sources(package) for name, _ in imports(file)}
    assert {PACKAGES[name].module for name in package.dependencies} <= used


@packages
def test_package_leaves_underscore_names_of_siblings_alone(package: Package) -> None:
    private = [
        f"{file.relative_to(ROOT)}:{line} imports {name}"
        for file in sources(package)
        for name, line in imports(file)
        if name.split(".")[0] in OWNERS.keys() - {package.module}
        if any(part.startswith("_") and not part.startswith("__") for part in name.split("."))
    ]
    assert private == []


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


def test_dependencies_point_one_way() -> None:
    declared = {package.name: set(package.dependencies) for package in PACKAGES.values()}
    assert declared == {
        "asgi-local": set(),
        "asgi-sync": {"asgi-local"},
        "asgi-server": set(),
        "asgi-wsgi": {"asgi-sync"},
        "asgiref-meta": {"asgi-local", "asgi-sync", "asgi-server", "asgi-wsgi"},
    }
