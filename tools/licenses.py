"""Check that each package's LICENSE is a copy of the one at the top, or make it one.

    python tools/licenses.py
    python tools/licenses.py --copy

flit takes no file from outside the package's folder, so each has a copy.
"""

import sys

from _packages import PACKAGES, ROOT


def main() -> None:
    text = (ROOT / "LICENSE").read_bytes()
    copies = [package.folder / "LICENSE" for package in PACKAGES.values()]
    if "--copy" in sys.argv[1:]:
        for copy in copies:
            copy.write_bytes(text)
    different = [copy for copy in copies if not copy.is_file() or copy.read_bytes() != text]
    if different:
        sys.exit("\n".join(f"{copy.relative_to(ROOT)} is not a copy of LICENSE" for copy in different))


if __name__ == "__main__":
    main()
