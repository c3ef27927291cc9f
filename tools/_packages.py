"""The packages of this repository, as their pyproject.toml files describe them.

Nothing here needs more than the standard library: every environment of tox reads it.
"""

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
    requirements: tuple[str, ...]
    """What it needs, as written: `asgi-local >=1.0,<2`."""
    extras: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """What each of its extras needs."""

    @property
    def dependencies(self) -> tuple[str, ...]:
        """Names of the distributions that it declares, without their version ranges."""
        return tuple(_name(requirement) for requirement in self.requirements)

    @property
    def optional_dependencies(self) -> tuple[str, ...]:
        """Names of the distributions that its extras declare."""
        return tuple(_name(requirement) for _, requirements in self.extras for requirement in requirements)

    @property
    def source(self) -> Path:
        """The folder of its modules; of the stand-in, which is one module, the file."""
        folder = self.folder / "src" / self.module
        return folder if folder.is_dir() else self.folder / f"{self.module}.py"

    @property
    def version_file(self) -> Path:
        return self.source / "__init__.py" if self.source.is_dir() else self.source

    @property
    def version(self) -> str:
        """The literal in `__init__.py`: a release is made from it, so it is read without importing."""
        text = self.version_file.read_text(encoding="utf-8")
        found = re.findall(r'^__version__ = "([^"]+)"$', text, re.MULTILINE)
        if len(found) != 1:
            raise ValueError(f"{self.name}: one line `__version__ = ...` is wanted, found {len(found)}")
        return str(found[0])


def _name(requirement: str) -> str:
    return re.split(r"[^\w.-]", requirement, maxsplit=1)[0]


def read_package(folder: Path) -> Package:
    """Read the pyproject.toml in `folder`."""
    settings = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
    project = settings["project"]
    extras: dict[str, list[str]] = project.get("optional-dependencies", {})
    return Package(
        folder=folder,
        name=project["name"],
        module=settings["tool"]["flit"]["module"]["name"],
        requirements=tuple(project["dependencies"]),
        extras=tuple((extra, tuple(requirements)) for extra, requirements in extras.items()),
    )


def packages_of(root: Path) -> dict[str, Package]:
    """The packages of the tree at `root`, by name, those that others need first."""
    found = {
        package.name: package
        for package in (read_package(file.parent) for file in root.glob("packages/*/pyproject.toml"))
    }
    return {name: found[name] for name in sorted(found, key=lambda name: (len(siblings(name, found)), name))}


def siblings(name: str, packages: dict[str, Package] | None = None) -> set[str]:
    """The packages of this repository that come with `name`: what it declares, and what that declares."""
    among = PACKAGES if packages is None else packages
    found: set[str] = set()
    waiting = list(among[name].dependencies)
    while waiting:
        dependency = waiting.pop()
        if dependency in among and dependency not in found:
            found.add(dependency)
            waiting += among[dependency].dependencies
    return found


PACKAGES = packages_of(ROOT)

# A second project in asgiref-meta's folder, named `asgiref`. It is built and checked with the others, but it is
# no package of its own: it has no code, no index takes it, and its version follows asgiref-meta's.
STAND_IN = read_package(ROOT / "packages" / "asgiref-meta" / "stand-in")
