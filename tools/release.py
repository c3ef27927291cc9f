"""Check everything about a release that can be checked, and say what remains for a person.

    python tools/release.py asgi-sync 1.0.1 --work FOLDER

It changes nothing in the tree, sets no tag and uploads nothing, so it can be tried at any time. The checks, in
this order: the version in the code, the changelog, the version ranges of the siblings, git (all committed, no
such tag yet), the public interface against the last tag, wheel and sdist and what they hold, twine, an
installation of the built wheels into a fresh environment, and the tests of the sdist in another one.
The artefacts are left in FOLDER/dist. The first group that has problems ends it, with status 1.
"""

import argparse
import configparser
import datetime
import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path

import _tags
from _artefacts import BuildError, build, problems, twine_check
from _imports import public_modules
from _interface import InterfaceError, judge
from _release_checks import UNRELEASED, changelog_entry, paper_problems, unreleased_siblings

from _packages import PACKAGES, ROOT, Package, siblings


class CheckFailedError(Exception):
    """A check has found problems; they are the text."""


def report(results: Mapping[str, list[str]]) -> None:
    """Print what was checked.

    Raises:
        CheckFailedError: There were problems; all of them.
    """
    for what, found in results.items():
        print(f"{'FAILED' if found else 'ok':7} {what}", *found, sep="\n            ", flush=True)
    failed = [what for what, found in results.items() if found]
    if failed:
        raise CheckFailedError(f"not releasable: see {', '.join(failed)}")


def requirements_of_tests(root: Path) -> list[str]:
    """What tox.ini installs for the tests of every package: its `test_deps` without those of one interpreter."""
    settings = configparser.ConfigParser(interpolation=None)
    settings.read(root / "tox.ini", encoding="utf-8")
    lines = [line.strip() for line in settings["testenv"]["test_deps"].splitlines()]
    return [
        line for line in lines if line and not line.startswith("#") and not re.match(r"[\w,{}!-]+: ", line)
    ]


def run(*command: str | Path, cwd: Path | None = None) -> None:
    """Run a command and show what it says only if it fails.

    Raises:
        CheckFailedError: It did; with the last part of what it said.
    """
    outside = ("PYTHONPATH", "VIRTUAL_ENV")
    variables = {key: value for key, value in os.environ.items() if key not in outside}
    parts = [str(part) for part in command]
    done = subprocess.run(
        parts, cwd=cwd, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if done.returncode:
        raise CheckFailedError(
            f"{' '.join(parts[:4])} ... ended with status {done.returncode}:\n{done.stdout[-6000:]}"
        )


def built(package: Package, work: Path) -> Path:
    """Build the package and the siblings it needs, check them, and return the folder with all the wheels."""
    dist, wheels = work / "dist", work / "wheels"
    dist.mkdir(parents=True)
    wheels.mkdir()
    try:
        for name in (package.name, *sorted(siblings(package.name))):
            for artefact in build(PACKAGES[name], work / "building"):
                if name == package.name:
                    shutil.copy(artefact, dist)
                if artefact.suffix == ".whl":
                    shutil.copy(artefact, wheels)
    except BuildError as error:
        raise CheckFailedError(str(error)) from None
    files = sorted(dist.iterdir())
    found = {f"what {file.name} holds": problems(package, file) for file in files}
    report(found)
    report({"twine check --strict": [] if twine_check(files) else ["see above"]})
    return wheels


def fresh_environment(folder: Path) -> Path:
    """Make a virtual environment and return its interpreter."""
    run("uv", "venv", "--quiet", "--python", sys.executable, folder)
    return folder / ("Scripts" if os.name == "nt" else "bin") / "python"


def install_wheels(python: Path, package: Package, wheels: Path) -> None:
    """Install the package and its siblings, from their wheels and from nowhere else.

    Without uv's cache: it takes a wheel with the name and version of an earlier try for this one.
    """
    offline = ("--no-cache", "--no-index", "--find-links", wheels)
    run("uv", "pip", "install", "--python", python, *offline, f"{package.name}=={package.version}")


def install_alone(package: Package, wheels: Path, work: Path) -> None:
    """Install the wheels and nothing else, and import what must be importable then."""
    python = fresh_environment(work / "fresh")
    install_wheels(python, package, wheels)
    run("uv", "pip", "check", "--python", python)
    program = f"""
import pathlib, sys
import {package.module} as package
assert package.__version__ == {package.version!r}, package.__version__
assert pathlib.Path(package.__file__).is_relative_to(sys.prefix), package.__file__
"""
    run(python, "-I", "-c", program, cwd=work)
    if not package.extras:
        run(
            python, "-I", "-W", "error", "-c", "\n".join(f"import {name}" for name in public_modules(package))
        )
    report({"installation of the wheels into a fresh environment": []})


def run_tests_of_sdist(package: Package, wheels: Path, work: Path) -> None:
    """Unpack the sdist, install the wheel with its extras and the tools of testing, and run the tests there."""
    python = fresh_environment(work / "testing")
    (sdist,) = (work / "dist").glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(work / "sdist", filter="data")
    extras = ",".join(extra for extra, _ in package.extras)
    wanted = (
        f"{package.name}[{extras}]=={package.version}" if extras else f"{package.name}=={package.version}"
    )
    install_wheels(python, package, wheels)
    # What is installed stays; this adds what its extras and its tests need.
    needs = requirements_of_tests(ROOT)
    run("uv", "pip", "install", "--python", python, "--find-links", wheels, wanted, *needs)
    (folder,) = (work / "sdist").iterdir()
    # What is tested is what was installed: the tests must not find the source beside them.
    shutil.rmtree(folder / "src")
    run(python, "-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=folder)
    report({f"tests of {sdist.name}": []})


def remaining(package: Package, dist: Path) -> list[str]:
    """What a person has to do, in this order."""
    tag = _tags.tag_name(package.name, package.version)
    _, date, _ = changelog_entry(package)
    steps: list[str] = []
    if date == UNRELEASED:
        today = datetime.date.today().isoformat()
        steps.append(
            f"write the date into CHANGELOG.md (`## {package.version} ({today})`), commit, run this again"
        )
    steps += [
        f"release {needed} first: {package.name} needs it, and there is no tag that says it is out"
        for needed in unreleased_siblings(ROOT, package.name)
    ]
    stem = package.name.replace("-", "_")
    return [
        *steps,
        "run the rest, if you have not: tox run; tox run -e oldest",
        f'git tag --annotate {tag} --message "{package.name} {package.version}"',
        f"git push origin main {tag}",
        f"twine upload {_shown(dist)}/{stem}-{package.version}*",
        f"pip install {package.name}=={package.version} somewhere else, and look at its page on the index",
    ]


def _shown(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def check(name: str, version: str, work: Path) -> None:
    report(paper_problems(ROOT, name, version))
    package = PACKAGES[name]
    verdict = judge(ROOT, name)
    print(*(f"        {line}" for line in verdict.lines), sep="\n", flush=True)
    report({"public interface against the last tag": verdict.problems})
    wheels = built(package, work)
    install_alone(package, wheels, work)
    run_tests_of_sdist(package, wheels, work)
    print(f"\n{name} {version} can be released. What remains for a person:\n")
    for number, step in enumerate(remaining(package, work / "dist"), 1):
        print(f"  {number}. {step}")


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("package", help=", ".join(PACKAGES))
    parser.add_argument("version", help="as in __version__: 1.0.1")
    parser.add_argument("--work", type=Path, required=True, help="a folder that is emptied first")
    options = parser.parse_args(arguments)
    work: Path = options.work.resolve()
    shutil.rmtree(work, ignore_errors=True)
    try:
        check(options.package, options.version, work)
    except (CheckFailedError, ValueError, InterfaceError, _tags.GitError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
