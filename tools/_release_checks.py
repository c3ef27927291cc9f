"""What can be said of a release before anything is built: each check returns its problems, one sentence each."""

import re
from pathlib import Path

import _tags
from packaging.requirements import InvalidRequirement, Requirement
from packaging.version import InvalidVersion, Version

from _packages import Package, packages_of, read_package

_HEADING = re.compile(r"^## (?P<version>\S+)(?: \((?P<date>[^)]*)\))?[ \t]*$", re.MULTILINE)
UNRELEASED = "unreleased"


def parse(packages: dict[str, Package], name: str, version: str) -> Version:
    """Return the version, if both arguments make sense.

    Raises:
        ValueError: There is no such package, or that is no version, or not as it is usually written.
    """
    if name not in packages:
        raise ValueError(f"there is no package {name!r}: it is one of {', '.join(packages)}")
    try:
        parsed = Version(version)
    except InvalidVersion:
        raise ValueError(f"{version!r} is no version: 1.0.1 is one, and 1.1.0rc1") from None
    if str(parsed) != version or parsed.local:
        wanted = parsed.public
        raise ValueError(f"{version!r} is not how a released version is written: that would be {wanted!r}")
    return parsed


def version_problems(package: Package, version: Version) -> list[str]:
    try:
        written = package.version
    except ValueError as error:
        return [str(error)]
    if written == str(version):
        return []
    return [f'{package.version_file.name} of {package.name} says __version__ = "{written}", not "{version}"']


def changelog_entry(package: Package) -> tuple[str, str, str]:
    """Version, date and text of the first entry in the package's CHANGELOG.md; empty if there is none."""
    text = (package.folder / "CHANGELOG.md").read_text(encoding="utf-8")
    first = _HEADING.search(text)
    if not first:
        return "", "", ""
    following = _HEADING.search(text, first.end())
    return first["version"], first["date"] or "", text[first.end() : following and following.start()].strip()


def changelog_problems(package: Package, version: Version) -> list[str]:
    """The newest entry is this version's, has a date (or `unreleased`, until it is known), and says something."""
    written, date, text = changelog_entry(package)
    if written != str(version):
        newest = f"is of {written}" if written else "is missing"
        return [
            f"the newest entry in {package.name}'s CHANGELOG.md {newest}: `## {version} (date)` is wanted"
        ]
    found: list[str] = []
    if date != UNRELEASED and not re.fullmatch(r"\d{4}-\d\d-\d\d", date):
        found.append(
            f"{package.name}'s CHANGELOG.md dates {version} {date!r}: (2026-11-21) is how that is written"
        )
    if not text:
        found.append(f"{package.name}'s CHANGELOG.md has nothing to say of {version}")
    return found


def range_problems(packages: dict[str, Package], name: str, version: Version) -> list[str]:
    """The siblings that need this package accept the version, and it accepts its siblings as they are here."""
    found: list[str] = []
    for package in packages.values():
        for requirement in package.requirements:
            try:
                needed = Requirement(requirement)
            except InvalidRequirement as error:
                found.append(f"{package.name} requires {requirement!r}: {error}")
                continue
            if needed.name == name and not needed.specifier.contains(version, prereleases=True):
                found.append(f"{package.name} requires {requirement}, which excludes {version}")
            if package.name == name and needed.name in packages:
                here = packages[needed.name].version
                if not needed.specifier.contains(here, prereleases=True):
                    found.append(f"{name} requires {requirement}, but {needed.name} is {here} in this tree")
                found += bound_problems(name, needed)
    return found


def bound_problems(name: str, needed: Requirement) -> list[str]:
    """A range of siblings has both ends: from what is needed up to the next major version, which may break."""
    operators = sorted(specifier.operator for specifier in needed.specifier)
    if operators != ["<", ">="]:
        return [f"{name} requires {needed}: a range >=A,<B is wanted, so that both ends can be tested"]
    low, high = (Version(s.version) for s in sorted(needed.specifier, key=lambda s: s.operator != ">="))
    if low >= high:
        return [f"{name} requires {needed}: no version is in that range"]
    return []


def stand_in_problems(root: Path, name: str, version: Version) -> list[str]:
    """asgiref-meta's stand-in has its version, with a local part, and accepts it."""
    folder = root / "packages" / name / "stand-in"
    if not folder.is_dir():
        return []
    stand_in = read_package(folder)
    found: list[str] = []
    if not Version(stand_in.version).local or Version(stand_in.version).public != str(version):
        found.append(f"the stand-in beside {name} is {stand_in.version}: {version}+meta.1 is wanted")
    ranges = [Requirement(text).specifier for text in stand_in.requirements]
    if not all(specifier.contains(version, prereleases=True) for specifier in ranges):
        found.append(f"the stand-in requires {', '.join(stand_in.requirements)}, which excludes {version}")
    return found


def git_problems(root: Path, name: str, version: Version) -> list[str]:
    """All is committed, and the version is a new one."""
    found: list[str] = []
    try:
        changed = _tags.git(root, "status", "--porcelain").decode().splitlines()
        before = _tags.released(root, name)
    except _tags.GitError as error:
        return [str(error)]
    if changed:
        more = f" and {len(changed) - 5} more" if len(changed) > 5 else ""
        files = ", ".join(line[3:] for line in changed[:5])
        found.append(f"what is released must be committed: {files}{more}")
    if version in before:
        found.append(f"there is a tag {_tags.tag_name(name, version)}: a version is released once")
    elif before and version < before[-1]:
        found.append(f"{before[-1]} has been released, so {version} would be a step back")
    return found


def paper_problems(root: Path, name: str, version: str) -> dict[str, list[str]]:
    """All of the above, by what was checked.

    Raises:
        ValueError: The arguments make no sense: see `parse`.
    """
    packages = packages_of(root)
    wanted = parse(packages, name, version)
    return {
        "version": version_problems(packages[name], wanted),
        "changelog": changelog_problems(packages[name], wanted),
        "ranges of siblings": range_problems(packages, name, wanted),
        "stand-in": stand_in_problems(root, name, wanted),
        "git": git_problems(root, name, wanted),
    }


def unreleased_siblings(root: Path, name: str) -> list[str]:
    """What the package needs and an index does not have: siblings without a tag in the range that it declares."""
    packages = packages_of(root)
    found: list[str] = []
    for needed in map(Requirement, packages[name].requirements):
        if needed.name not in packages:
            continue
        if not any(needed.specifier.contains(tagged) for tagged in _tags.released(root, needed.name)):
            found.append(f"{needed.name} {packages[needed.name].version}")
    return found
