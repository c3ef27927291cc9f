"""Test each package against the oldest siblings that its pyproject.toml allows.

    python tools/oldest.py --work FOLDER                       all packages that have siblings
    python tools/oldest.py --work FOLDER asgi-wsgi -- -k pool  one; what follows -- goes to pytest

The oldest sibling is that of the oldest tag in range (`asgi-local-v1.0.0` for `asgi-local >=1.0,<2`), built from
what was tagged; where there is no such tag yet, it is the one of this tree. The package itself is always this
tree's. All are installed as wheels into the environment that runs this, one package after the other.
"""

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

from _oldest import Choice, NoVersionError, choose
from _tags import GitError
from install import uv

from _packages import PACKAGES, ROOT


def install(name: str, choices: dict[str, Choice], wheels: Path) -> None:
    """Build and install. The resolver proves that the metadata allow the combination."""
    for package in (PACKAGES[name], *(choice.package for choice in choices.values())):
        uv("build", "--wheel", "--quiet", "--out-dir", wheels, package.folder)
    here = ("--python", sys.executable)
    uv("pip", "uninstall", *here, *PACKAGES)
    # uv's cache would take a wheel with the name and version of an earlier run for this one.
    uv("pip", "install", *here, "--no-cache", "--no-index", "--find-links", wheels, name)
    for choice in choices.values():
        program = (
            f"import {choice.package.module} as m; assert m.__version__ == '{choice.version}', m.__version__"
        )
        subprocess.run([sys.executable, "-I", "-c", program], check=True)


def test(name: str, work: Path, arguments: list[str]) -> bool:
    choices = choose(ROOT, name, work / "tagged")
    print(f"{name}, with {'; '.join(map(str, choices.values()))}", flush=True)
    same = [other for other, choice in choices.items() if not choice.tag]
    if same:
        print(f"    {', '.join(same)}: no release in range yet, so the oldest is also the newest", flush=True)
    install(name, choices, work / "wheels" / name)
    command = [sys.executable, "-m", "pytest", *arguments]
    return subprocess.run(command, cwd=PACKAGES[name].folder).returncode == 0


def main(arguments: list[str]) -> int:
    end = arguments.index("--") if "--" in arguments else len(arguments)
    own, for_pytest = arguments[:end], arguments[end + 1 :]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, required=True, help="a folder that is emptied first")
    parser.add_argument("--show", action="store_true", help="say what would be tested, and do not")
    parser.add_argument("names", nargs="*", choices=[*PACKAGES, []], metavar="package")
    options = parser.parse_args(own)
    work: Path = options.work.resolve()
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    failed: list[str] = []
    try:
        for name in options.names or PACKAGES:
            if not any(needed in PACKAGES for needed in PACKAGES[name].dependencies):
                print(f"{name}: needs no sibling", flush=True)
            elif options.show:
                print(f"{name}, with {'; '.join(map(str, choose(ROOT, name, work).values()))}", flush=True)
            elif not test(name, work, for_pytest):
                failed.append(name)
    except (GitError, NoVersionError) as error:
        print(error, file=sys.stderr)
        return 1
    if failed:
        print(f"failed with its oldest siblings: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
