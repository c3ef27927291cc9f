"""Prove that this environment holds a package as users get it, and no sibling that it does not declare.

python tools/isolation.py asgi-wsgi
"""

import importlib.util
import sys
import sysconfig
from pathlib import Path

from _packages import PACKAGES, siblings


def location(module: str) -> Path | None:
    spec = importlib.util.find_spec(module)
    return Path(spec.origin) if spec and spec.origin else None


def problems(name: str) -> list[str]:
    site_packages = Path(sysconfig.get_path("purelib"))
    here = {name, *siblings(name)}
    found = []
    for package in PACKAGES.values():
        place = location(package.module)
        if package.name not in here and place:
            found.append(f"{package.module} can be imported from {place}, but {name} does not declare it")
        elif package.name in here and not place:
            found.append(f"{package.module} cannot be imported")
        elif package.name in here and place and not place.is_relative_to(site_packages):
            found.append(f"{package.module} comes from {place}, not from {site_packages}")
    return found


def main() -> None:
    name = sys.argv[1]
    if found := problems(name):
        sys.exit("\n".join(found))
    absent = sorted(PACKAGES.keys() - {name} - siblings(name))
    print(f"{name} is installed with: {', '.join(sorted(siblings(name))) or 'nothing else'}")
    print(f"not importable here: {', '.join(absent) or 'none, it needs them all'}")


if __name__ == "__main__":
    main()
