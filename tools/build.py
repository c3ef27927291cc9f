"""Build the wheel and the sdist of each package with flit, and check what they hold.

python tools/build.py FOLDER        the artefacts are left in FOLDER/dist, ready to be uploaded

The stand-in beside asgiref-meta is built and checked too, and left in FOLDER/stand-in: it is not for an index.
"""

import shutil
import sys
from pathlib import Path

from _artefacts import BuildError, build, problems, twine_check

from _packages import PACKAGES, STAND_IN


def main() -> None:
    work = Path(sys.argv[1]).resolve()
    shutil.rmtree(work, ignore_errors=True)
    kept: list[Path] = []
    failed = False
    for package in (*PACKAGES.values(), STAND_IN):
        shelf = work / ("stand-in" if package == STAND_IN else "dist")
        shelf.mkdir(parents=True, exist_ok=True)
        try:
            artefacts = build(package, work / "building")
        except BuildError as error:
            sys.exit(str(error))
        for artefact in artefacts:
            kept.append(Path(shutil.copy(artefact, shelf)))
            found = problems(package, kept[-1])
            failed = failed or bool(found)
            print(f"{artefact.name}: {artefact.stat().st_size} bytes", *found, sep="\n    ", flush=True)
    sys.exit(0 if twine_check(kept) and not failed else 1)


if __name__ == "__main__":
    main()
