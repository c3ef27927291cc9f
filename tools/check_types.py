"""Check the types of all packages with mypy --strict and pyright, for the oldest and the newest Python.

The files in packages/*/tests/typing hold `assert_type` statements: they are checked, and never run.
"""

import os
import subprocess
import sys

from _packages import PACKAGES, ROOT

PYTHONS = ("3.11", "3.15")


def run(*command: str, **variables: str) -> bool:
    print("$", *command, flush=True)
    # The wrapper around pyright would otherwise ask whether there is a newer one.
    environment = {**os.environ, "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1", **variables}
    return subprocess.run(command, cwd=ROOT, env=environment).returncode == 0


def main() -> None:
    sources = sorted(f"packages/{name}/src" for name in PACKAGES)
    type_tests = sorted(str(folder.relative_to(ROOT)) for folder in ROOT.glob("packages/*/tests/typing"))
    results = []
    for version in PYTHONS:
        results.append(run("mypy", "--python-version", version, *sources))
        results.append(run("pyright", "--pythonversion", version, *sources, *type_tests))
    # Every type that a user can see is written down: nothing is left to be inferred, by each checker in its own way.
    # This looks for packages where the interpreter would find them, not in the folders of pyproject.toml.
    installed = os.pathsep.join(str(ROOT / source) for source in sources)
    results += [
        run("pyright", "--verifytypes", package.module, "--ignoreexternal", PYTHONPATH=installed)
        for package in PACKAGES.values()
    ]
    # One at a time: the packages may use the same name for a test module.
    results += [run("mypy", *sources, folder) for folder in type_tests]
    results.append(run("mypy", "tools"))
    results.append(run("mypy", "examples/guestbook"))
    results.append(run("pyright", "examples/guestbook"))
    sys.exit(0 if all(results) else 1)


if __name__ == "__main__":
    main()
