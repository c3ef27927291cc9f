"""Build a wheel and an sdist with flit, and say what is wrong with what they hold."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from email import message_from_bytes
from email.message import Message
from pathlib import Path, PurePosixPath

from _release_checks import bound_problems
from packaging.requirements import Requirement

from _packages import PACKAGES, STAND_IN, Package

NOT_SOURCE = shutil.ignore_patterns("__pycache__", ".*", "dist", "build", "stand-in")


class BuildError(Exception):
    """flit failed; the text is flit's own."""


def build(package: Package, work: Path) -> list[Path]:
    """Build from a copy of the folder, so that nothing but the folder can be needed."""
    copy = work / package.name
    shutil.copytree(package.folder, copy, ignore=NOT_SOURCE)
    # flit makes the wheel from the sdist, so this proves that the sdist is enough, too.
    # The list of classifiers comes from a package here, so flit need not ask the index for it.
    environment = {**os.environ, "FLIT_NO_NETWORK": "1"}
    command = [sys.executable, "-m", "flit", "build"]
    done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise BuildError(f"flit build of {package.name} failed:\n{done.stdout}{done.stderr}")
    return sorted((copy / "dist").iterdir())


def problems(package: Package, artefact: Path) -> list[str]:
    check = wheel_problems if artefact.suffix == ".whl" else sdist_problems
    return check(package, artefact)


def twine_check(files: list[Path]) -> bool:
    command = [sys.executable, "-m", "twine", "check", "--strict", *map(str, sorted(files))]
    return subprocess.run(command).returncode == 0


def source_files(package: Package, below: str) -> set[str]:
    files = (package.folder / below).glob("**/*")
    return {
        file.relative_to(package.folder).as_posix()
        for file in files
        if file.is_file() and not {"__pycache__", ".hypothesis", ".pytest_cache"} & set(file.parts)
    }


def code_files(package: Package) -> set[str]:
    if package.source.is_dir():
        return source_files(package, "src")
    return {package.source.relative_to(package.folder).as_posix()}


def wheel_problems(package: Package, wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
        info = f"{wheel.name.rsplit('-py3', 1)[0]}.dist-info"
        metadata = message_from_bytes(archive.read(f"{info}/METADATA"))
    code = {str(PurePosixPath(file.removeprefix("src/"))) for file in code_files(package)}
    wanted = code | {f"{info}/{name}" for name in ("METADATA", "WHEEL", "RECORD", "licenses/LICENSE")}
    found = [f"lacks {name}" for name in sorted(wanted - held)]
    found += [f"holds {name}, which it should not" for name in sorted(held - wanted)]
    if package != STAND_IN and f"{package.module}/py.typed" not in held:
        found.append("lacks py.typed, so type checkers would ignore its types")
    return found + metadata_problems(package, metadata)


def metadata_problems(package: Package, metadata: Message) -> list[str]:
    expected = {
        "Name": package.name,
        "Version": package.version,
        "License-Expression": "BSD-3-Clause",
        "License-File": "LICENSE",
        "Requires-Python": ">=3.11",
        "Description-Content-Type": "text/markdown",
    }
    found = [
        f"says {field}: {metadata[field]}, should say {value}"
        for field, value in expected.items()
        if metadata[field] != value
    ]
    found += requirement_problems(package, metadata)
    from trove_classifiers import classifiers  # here, so that the tests of the tools need not have it

    # A private one keeps an index from taking the file: each knows that one without knowing its name.
    known = {
        name for name in metadata.get_all("Classifier", []) if name.startswith("Private :: ")
    } | classifiers
    unknown = set(metadata.get_all("Classifier", [])) - known
    found += [f"has the classifier {classifier!r}, which no index knows" for classifier in sorted(unknown)]
    if package == STAND_IN and "Private :: Do Not Upload" not in metadata.get_all("Classifier", []):
        found.append("could be uploaded: it must have the classifier `Private :: Do Not Upload`")
    labels = {entry.partition(",")[0] for entry in metadata.get_all("Project-URL", [])}
    wanted = {"Source"} if package == STAND_IN else {"Source", "Changelog", "Issues"}
    found += [f"has no project URL {label}" for label in sorted(wanted - labels)]
    if len(metadata.get_payload()) < 300:
        found.append("has next to no description: is README.md written?")
    return found


def requirement_problems(package: Package, metadata: Message) -> list[str]:
    """What the metadata require is what pyproject.toml says, with both ends, and fits the siblings in this tree."""
    required = [Requirement(r) for r in metadata.get_all("Requires-Dist", []) if "extra ==" not in r]
    declared = [Requirement(r) for r in package.requirements]
    if sorted(map(str, required)) != sorted(map(str, declared)):
        return [f"requires {required}, but pyproject.toml says {declared}"]
    found: list[str] = []
    for needed in required:
        if needed.name not in PACKAGES:
            found.append(f"requires {needed}, which is no package of this repository")
        elif not needed.specifier.contains(PACKAGES[needed.name].version, prereleases=True):
            found.append(f"requires {needed}, but in this tree it is {PACKAGES[needed.name].version}")
        found += bound_problems(package.name, needed)
    return found


def sdist_problems(package: Package, sdist: Path) -> list[str]:
    top = sdist.name.removesuffix(".tar.gz")
    with tarfile.open(sdist) as archive:
        held = {name.removeprefix(f"{top}/") for name in archive.getnames()}
    wanted = code_files(package) | {"pyproject.toml", "README.md", "LICENSE", "PKG-INFO"}
    if package != STAND_IN:
        wanted |= source_files(package, "tests") | {"CHANGELOG.md"}
    found = [f"lacks {name}" for name in sorted(wanted - held)]
    if package != STAND_IN and not any(name.startswith("tests/test_") for name in held):
        found.append("lacks tests")
    return found
