"""The packages of this repository, as their pyproject.toml files describe them."""

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Package:
    folder: Path
    name: str
    """Of the distribution, as on an index: asgi-local."""
    module: str
    """What is imported: asgi_local."""
    dependencies: tuple[str, ...]
    """Names of the distributions that it declares, without their version ranges."""

    @property
    def source(self) -> Path:
        return self.folder / "src" / self.module

    @property
    def version(self) -> str:
        """The literal in `__init__.py`: a release is made from it, so it is read without importing."""
        text = (self.source / "__init__.py").read_text(encoding="utf-8")
        found = re.findall(r'^__version__ = "([^"]+)"$', text, re.MULTILINE)
        if len(found) != 1:
            raise ValueError(f"{self.name}: one line `__version__ = ...` is wanted, found {len(found)}")
        return str(found[0])


def _read(folder: Path) -> Package:
    settings = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
    requirements = settings["project"]["dependencies"]
    return Package(
        folder=folder,
        name=settings["project"]["name"],
        module=settings["tool"]["flit"]["module"]["name"],
        dependencies=tuple(re.split(r"[^\w.-]", requirement, maxsplit=1)[0] for requirement in requirements),
    )


PACKAGES = {
    package.name: package
    for package in (_read(file.parent) for file in ROOT.glob("packages/*/pyproject.toml"))
}


def siblings(name: str) -> set[str]:
    """The packages of this repository that come with `name`: what it declares, and what that declares."""
    found: set[str] = set()
    waiting = list(PACKAGES[name].dependencies)
    while waiting:
        dependency = waiting.pop()
        if dependency in PACKAGES and dependency not in found:
            found.add(dependency)
            waiting += PACKAGES[dependency].dependencies
    return found
