"""Name what breaks in the public interface of the packages since their last tags.

    python tools/interface.py                  all packages
    python tools/interface.py asgi-sync        one

Public is what a module without an underscore names in `__all__`. A package without a tag has nothing to break.
Status 1 if something breaks and the major version is still the same.
"""

import sys
from pathlib import Path

from _interface import InterfaceError, judge
from _tags import GitError

from _packages import ROOT, packages_of


def main(names: list[str], root: Path = ROOT) -> int:
    packages = packages_of(root)
    unknown = [name for name in names if name not in packages]
    if unknown:
        print(f"no such package: {', '.join(unknown)}. There are: {', '.join(packages)}", file=sys.stderr)
        return 1
    status = 0
    for name in names or packages:
        try:
            verdict = judge(root, name)
        except (InterfaceError, GitError) as error:
            print(f"{name}: {error}", file=sys.stderr)
            return 1
        print(*verdict.lines, sep="\n", flush=True)
        if verdict.problems:
            print(*verdict.problems, sep="\n", file=sys.stderr)
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
