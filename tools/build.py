"""Build the wheel and the sdist of each package with flit, and check what they hold.

python tools/build.py FOLDER        the artefacts are left in FOLDER/dist, ready to be uploaded
"""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from email import message_from_bytes
from email.message import Message
from pathlib import Path, PurePosixPath

from trove_classifiers import classifiers

from _packages import PACKAGES, Package

NOT_SOURCE = shutil.ignore_patterns("__pycache__", ".*", "dist", "build")


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
        sys.exit(f"flit build of {package.name} failed:\n{done.stdout}{done.stderr}")
    return sorted((copy / "dist").iterdir())


def source_files(package: Package, below: str) -> set[str]:
    files = (package.folder / below).glob("**/*")
    return {
        file.relative_to(package.folder).as_posix()
        for file in files
        if file.is_file() and not {"__pycache__", ".hypothesis", ".pytest_cache"} & set(file.parts)
    }


def wheel_problems(package: Package, wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
        info = f"{wheel.name.rsplit('-py3', 1)[0]}.dist-info"
        metadata = message_from_bytes(archive.read(f"{info}/METADATA"))
    code = {str(PurePosixPath(file).relative_to("src")) for file in source_files(package, "src")}
    wanted = code | {f"{info}/{name}" for name in ("METADATA", "WHEEL", "RECORD", "licenses/LICENSE")}
    found = [f"lacks {name}" for name in sorted(wanted - held)]
    found += [f"holds {name}, which it should not" for name in sorted(held - wanted)]
    if f"{package.module}/py.typed" not in held:
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
    # Ranges are compatible ones: a sibling's next major version is not for this release.
    ranges = {name: PACKAGES[name].version.split(".")[0] for name in package.dependencies if name in PACKAGES}
    wanted = sorted(f"{name} >={major}.0,<{int(major) + 1}" for name, major in ranges.items())
    required = sorted(r for r in metadata.get_all("Requires-Dist", []) if "extra ==" not in r)
    if required != wanted:
        found.append(f"requires {required}, should require {wanted}")
    unknown = set(metadata.get_all("Classifier", [])) - classifiers
    found += [f"has the classifier {classifier!r}, which no index knows" for classifier in sorted(unknown)]
    labels = {entry.partition(",")[0] for entry in metadata.get_all("Project-URL", [])}
    found += [f"has no project URL {label}" for label in {"Source", "Changelog", "Issues"} - labels]
    if len(metadata.get_payload()) < 300:
        found.append("has next to no description: is README.md written?")
    return found


def sdist_problems(package: Package, sdist: Path) -> list[str]:
    top = sdist.name.removesuffix(".tar.gz")
    with tarfile.open(sdist) as archive:
        held = {name.removeprefix(f"{top}/") for name in archive.getnames()}
    wanted = source_files(package, "src") | source_files(package, "tests")
    wanted |= {"pyproject.toml", "README.md", "CHANGELOG.md", "LICENSE", "PKG-INFO"}
    found = [f"lacks {name}" for name in sorted(wanted - held)]
    if not any(name.startswith("tests/test_") for name in held):
        found.append("lacks tests")
    return found


def main() -> None:
    work = Path(sys.argv[1]).resolve()
    shutil.rmtree(work, ignore_errors=True)
    dist = work / "dist"
    dist.mkdir(parents=True)
    failed = False
    for package in PACKAGES.values():
        for artefact in build(package, work):
            kept = Path(shutil.copy(artefact, dist))
            check = wheel_problems if artefact.suffix == ".whl" else sdist_problems
            found = check(package, kept)
            failed = failed or bool(found)
            print(f"{artefact.name}: {artefact.stat().st_size} bytes", *found, sep="\n    ", flush=True)
    twine = subprocess.run([sys.executable, "-m", "twine", "check", "--strict", *sorted(dist.iterdir())])
    sys.exit(1 if failed else twine.returncode)


if __name__ == "__main__":
    main()
