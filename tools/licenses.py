"""Check that each project's LICENSE is a copy of the one at the top, or make it one.

    python tools/licenses.py
    python tools/licenses.py --copy

flit takes no file from outside a project's folder, so each has a copy; the stand-in beside asgiref-meta too.
"""

import sys

from _packages import PACKAGES, ROOT, STAND_IN


def main() -> None:
    text = (ROOT / "LICENSE").read_bytes()
    copies = [package.folder / "LICENSE" for package in (*PACKAGES.values(), STAND_IN)]
    if "--copy" in sys.argv[1:]:
        for copy in copies:
            copy.write_bytes(text)
    different = [copy for copy in copies if not copy.is_file() or copy.read_bytes() != text]
    if different:
        sys.exit("\n".join(f"{copy.relative_to(ROOT)} is not a copy of LICENSE" for copy in different))


if __name__ == "__main__":
    main()
