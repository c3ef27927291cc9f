"""How the site is built: `tox run -e docs`."""

from __future__ import annotations

import builtins
import functools
import importlib
import inspect
import pkgutil
import re
import textwrap
from pathlib import Path
from typing import Any

from sphinx.addnodes import desc, desc_signature, pending_xref
from sphinx.errors import ExtensionError
from sphinx.ext.napoleon.docstring import GoogleDocstring
from sphinx.util.nodes import make_refnode

HERE = Path(__file__).parent

project = "asgi-bridge"
author = "the authors of asgi-bridge"
copyright = "2026, the authors of asgi-bridge"  # noqa: A001 - the name that Sphinx reads

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build", "tests", "drawings"]
nitpicky = True

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

html_theme = "furo"
html_title = "asgi-bridge"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_theme_options = {"navigation_with_keys": True}
html_show_sphinx = False
highlight_language = (
    "none"  # blocks in docstrings that are neither doctests nor say what they are
)
pygments_style = "friendly"
pygments_dark_style = "monokai"

# A name between single backticks in a docstring is a link if it is one of ours, and else plain code.
default_role = "py:obj"
add_module_names = False
toc_object_entries_show_parents = "hide"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_class_signature = "mixed"
autodoc_default_options = {"members": True}
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True
python_maximum_signature_line_length = 88

_OURS = {"asgi_local", "asgi_sync", "asgi_server", "asgi_wsgi", "asgiref"}


def _missing(app: Any, env: Any, node: Any, content: Any) -> Any:
    """Find our names without their modules; leave others, which type hints are full of, without a link.

    But a role that asks for something of ours has to find it.
    """
    if node.get("refdomain") != "py":
        return None
    target = str(node.get("reftarget", ""))
    domain = env.domains["py"]
    found = {
        (entry.docname, entry.node_id)
        for name, entry in domain.objects.items()
        if name.endswith(f".{target}") and not entry.aliased
    }
    if len(found) == 1:
        docname, anchor = found.pop()
        return make_refnode(
            app.builder, node["refdoc"], docname, anchor, content, target
        )
    module, dot, name = target.partition(".")
    is_ours = (
        module in _OURS
        and bool(dot)
        and not any(part.startswith("_") for part in name.split("."))
    )
    is_written = node.get("reftype") in {"func", "meth", "mod", "attr"}
    return None if is_ours or is_written else content


def _leave_builtins_alone(_: Any, doctree: Any) -> None:
    """Otherwise ``bytes`` would be taken for the key of that name in a WebSocket message."""
    for node in list(doctree.findall(pending_xref)):
        if node.get("refdomain") == "py" and hasattr(
            builtins, node.get("reftarget", "")
        ):
            node.replace_self(node.children)


def _show_one_signature(_: Any, doctree: Any) -> None:
    """Of a function's overloads show the last, the general one: the guide on typing tells of the others."""
    for node in doctree.findall(desc):
        if node["objtype"] == "function":
            for signature in [
                child for child in node.children if isinstance(child, desc_signature)
            ][:-1]:
                kept = node.children[-2]  # before the description
                kept["ids"] = [*dict.fromkeys([*signature["ids"], *kept["ids"]])]
                node.remove(signature)


def _leave_keys_out_of_contents(_: Any, doctree: Any) -> None:
    """The contents beside the page of the types list the types, not each key of each of them."""
    for node in doctree.findall(desc):
        if node["objtype"] == "attribute":
            for signature in node.findall(desc_signature):
                if signature.get("module") == "asgi_server.typing":
                    signature["_toc_name"] = ""


def _leave_out_empty_globs(_: Any, docname: str, source: list[str]) -> None:
    """A page that a tool writes into the tree, such as that of the benchmarks, need not be there."""
    if docname == "index":

        def keep(line: re.Match[str]) -> str:
            return line[0] if [*HERE.glob(f"{line[0].strip()}.md")] else ""

        source[0] = re.sub(r"^\S+\*\n", keep, source[0], flags=re.MULTILINE)


#: The pages whose names are written down one by one, in an order that makes sense to a reader.
_REFERENCE = {
    "reference/asgi-local": ["asgi_local"],
    "reference/asgi-sync": ["asgi_sync"],
    "reference/asgi-server": [
        f"asgi_server.{name}"
        for name in ("server", "testing", "compatibility", "redis_streams")
    ],
    "reference/asgi-wsgi": ["asgi_wsgi"],
}


def _add_what_is_not_written_down(_: Any, docname: str, source: list[str]) -> None:
    """A public name that nobody has given a place yet comes last."""
    more = []
    for name in _REFERENCE.get(docname, []):
        module = importlib.import_module(name)
        for public in module.__all__:
            if not re.search(rf":: {re.escape(name)}\.{public}\b", source[0]):
                kind = getattr(module, public)
                directive = (
                    "autoexception"
                    if isinstance(kind, type) and issubclass(kind, BaseException)
                    else "autoclass"
                    if isinstance(kind, type)
                    else "autofunction"
                    if callable(kind)
                    else "autodata"
                )
                more.append(f".. {directive}:: {name}.{public}")
    if more:
        section = "\n".join(
            ["## More", "", "```{eval-rst}", *more, "```", "", "## Changes"]
        )
        source[0] = source[0].replace("## Changes", section)


def _show_source(_: Any, docname: str, source: list[str]) -> None:
    """Put the code of a function of a package where a page asks for it, whatever module it is in."""

    def code(fence: re.Match[str]) -> str:
        package = importlib.import_module(fence["package"])
        owner, *path = fence["name"].split(".")
        for info in pkgutil.iter_modules(package.__path__):
            if info.name == "__main__":  # a program, not to be run here
                continue
            module = importlib.import_module(f"{package.__name__}.{info.name}")
            found = vars(module).get(owner)
            if getattr(found, "__module__", None) == module.__name__:
                found = functools.reduce(getattr, path, found)
                text = textwrap.dedent(inspect.getsource(found))
                return f"From `{module.__name__}`:\n\n```python\n{text}```"
        raise ExtensionError(
            f"{docname}: there is no {fence['name']} in {package.__name__}"
        )

    source[0] = re.sub(
        r"^```\{source-of\} (?P<package>\w+) (?P<name>[\w.]+)\n```",
        code,
        source[0],
        flags=re.MULTILINE,
    )


def _keep_whole(docstring: Any) -> tuple[str, list[str]]:
    """What napoleon makes of an attribute's docstring: it would take what is before a colon for a type."""
    return "", docstring._consume_to_end()


GoogleDocstring._consume_inline_attribute = _keep_whole  # type: ignore[method-assign]  # there is no setting


def setup(app: Any) -> None:
    app.connect("source-read", _show_source)
    app.connect("source-read", _add_what_is_not_written_down)
    app.connect("source-read", _leave_out_empty_globs)
    app.connect("doctree-read", _leave_builtins_alone)
    app.connect("doctree-read", _show_one_signature)
    app.connect(
        "doctree-read", _leave_keys_out_of_contents, priority=100
    )  # before the contents are collected
    app.connect("missing-reference", _missing)
