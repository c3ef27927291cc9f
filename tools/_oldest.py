"""Find, for a package of this tree, the oldest siblings that its version ranges allow."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import _tags
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from _packages import Package, packages_of, read_package


class NoVersionError(Exception):
    """No version of a sibling fits the ranges."""


@dataclass(frozen=True)
class Choice:
    """A sibling, in the version to test against, and the folder to build it from."""

    package: Package
    version: Version
    tag: str
    """Empty: it comes from this tree."""

    def __str__(self) -> str:
        return f"{self.package.name} {self.version}, from {self.tag or 'this tree'}"


def choose(root: Path, name: str, shelf: Path) -> dict[str, Choice]:
    """Return a sibling per name: the oldest released one in range, else the one of this tree.

    A sibling's own siblings count with the ranges that it had at that version. What comes from a tag is
    unpacked into `shelf`.

    Raises:
        NoVersionError: Neither a tag nor this tree has a version that all ranges allow.
    """
    tree = packages_of(root)
    chosen: dict[str, Choice] = {}
    while True:
        ranges = _ranges(tree, [tree[name], *(choice.package for choice in chosen.values())])
        now = {other: _oldest(root, tree[other], ranges[other], shelf) for other in ranges}
        if now == chosen:
            return chosen
        chosen = now


def _ranges(tree: dict[str, Package], packages: Iterable[Package]) -> dict[str, SpecifierSet]:
    found: dict[str, SpecifierSet] = {}
    for package in packages:
        for needed in map(Requirement, package.requirements):
            if needed.name in tree:
                found[needed.name] = found.get(needed.name, SpecifierSet()) & needed.specifier
    return found


def _oldest(root: Path, package: Package, allowed: SpecifierSet, shelf: Path) -> Choice:
    released = _tags.released(root, package.name)
    fitting = [version for version in released if allowed.contains(version)]
    if fitting:
        version = fitting[0]
        tag = _tags.tag_name(package.name, version)
        folder = shelf / tag / "packages" / package.name
        if not folder.is_dir():
            folder = _tags.unpack(root, package.name, version, shelf / tag)
        return Choice(read_package(folder), version, tag)
    here = Version(package.version)
    if not allowed.contains(here, prereleases=True):
        tags = ", ".join(map(str, released)) or "none"
        raise NoVersionError(f"{package.name}{allowed} is wanted: {here} in this tree, released: {tags}")
    return Choice(package, here, "")
