"""Install packages of this repository into the environment that runs this script.

    python tools/install.py asgi-wsgi              as a wheel, with the siblings that its metadata names
    python tools/install.py all                    all of them, as wheels
    python tools/install.py --editable all         all of them, from their folders

Siblings are only ever taken from this tree, never from an index. Which ones are needed is what the built
wheels say: a dependency that is missing from a pyproject.toml is missing from the environment too.
"""

import argparse
import contextlib
import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from _packages import PACKAGES, ROOT


def digest() -> str:
    """Name the state of everything that goes into the wheels."""
    state = hashlib.sha256()
    for package in PACKAGES.values():
        files = [package.folder / name for name in ("pyproject.toml", "README.md", "LICENSE")]
        files += (f for f in package.folder.glob("src/**/*") if f.is_file() and "__pycache__" not in f.parts)
        for file in sorted(files):
            state.update(f"{file.relative_to(ROOT)}\0{file.stat().st_size}\0".encode())
            state.update(file.read_bytes())
    return state.hexdigest()[:16]


def wheels() -> Path:
    """The folder with a wheel of each package. All environments share it, so a state is built once."""
    shelf = Path(os.environ.get("TOX_WORK_DIR", ROOT / ".tox"), "wheels")
    finished = shelf / digest()
    if not finished.exists():
        shelf.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="building-", dir=shelf) as folder:
            building = Path(folder, "wheels")
            for package in PACKAGES.values():
                uv("build", "--wheel", "--out-dir", building, package.folder)
            with contextlib.suppress(OSError):  # another environment, run in parallel, was faster
                building.rename(finished)
    return finished


def uv(*arguments: str | Path) -> None:
    done = subprocess.run(["uv", *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        sys.exit(f"uv {' '.join(map(str, arguments))}\n{done.stdout}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--editable", action="store_true")
    parser.add_argument("names", nargs="+", choices=["all", *PACKAGES], metavar="package")
    options = parser.parse_args()
    names = sorted(PACKAGES) if "all" in options.names else options.names

    here = ("--python", sys.executable)
    # What an earlier run left may be older, or no longer declared.
    uv("pip", "uninstall", *here, *PACKAGES)
    if options.editable:
        folders = [argument for name in names for argument in ("--editable", PACKAGES[name].folder)]
        uv("pip", "install", *here, "--no-deps", *folders)
    else:
        uv("pip", "install", *here, "--no-index", "--find-links", wheels(), *names)


if __name__ == "__main__":
    main()
