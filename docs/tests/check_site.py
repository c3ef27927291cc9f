"""Check a built site: `python docs/tests/check_site.py FOLDER`.

Every link inside the site leads to a page, and to a place on it, that is there; every picture is there; and every
public name of the packages is in the reference.
"""

from __future__ import annotations

import importlib
import posixpath
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from sphinx.util.inventory import InventoryFile

MODULES = (
    "asgi_local",
    "asgi_sync",
    "asgi_sync.lowlevel",
    "asgi_server.server",
    "asgi_server.testing",
    "asgi_server.compatibility",
    "asgi_server.redis_streams",
    "asgi_server.typing",
    "asgi_wsgi",
)


class Page(HTMLParser):
    """The links and the places of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.places: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id" and value:
                self.places.add(value)
            elif name in ("href", "src") and value:
                self.links.append(value)


def dead_links(site: Path) -> list[str]:
    """Links to what is not there, as "page: link"."""
    pages = {
        path: Page(path.read_text(encoding="utf-8"))
        for path in sorted(site.rglob("*.html"))
    }
    dead = []
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (
                (path.parent / unquote(parts.path)).resolve() if parts.path else path
            )
            if target.is_dir():
                target /= "index.html"
            fragment = unquote(parts.fragment)
            is_there = target.is_file() and (
                not fragment or target not in pages or fragment in pages[target].places
            )
            if not is_there:
                dead.append(f"{path.relative_to(site)}: {link}")
    return dead


def missing_names(site: Path) -> list[str]:
    """Public names that the reference does not have."""
    with (site / "objects.inv").open("rb") as stream:
        inventory = InventoryFile.load(stream, "", posixpath.join)
    known = {
        name
        for kind, names in inventory.items()
        if kind.startswith("py:")
        for name in names
    }
    return [
        f"{module}.{name}"
        for module in MODULES
        for name in importlib.import_module(module).__all__
        if f"{module}.{name}" not in known
    ]


def unrendered(site: Path) -> list[str]:
    """Pages that show markup instead of what it means."""
    found = []
    for path in sorted(site.rglob("*.html")):
        text = re.sub(
            r"<(pre|code|script|style).*?</\1>",
            "",
            path.read_text(encoding="utf-8"),
            flags=re.DOTALL,
        )
        if re.search(r":(class|func|meth|exc):`|``\w|<p>(Args|Returns|Raises):", text):
            found.append(str(path.relative_to(site)))
    return found


def main() -> int:
    site = Path(sys.argv[1]).resolve()
    problems = [
        *(f"dead link: {each}" for each in dead_links(site)),
        *(f"not in the reference: {each}" for each in missing_names(site)),
        *(f"shows markup: {each}" for each in unrendered(site)),
    ]
    print(
        *problems
        or [f"{len([*site.rglob('*.html')])} pages, all links lead somewhere"],
        sep="\n",
    )
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main())
