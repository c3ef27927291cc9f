"""How the site is built: `tox run -e docs`."""

from __future__ import annotations

from typing import Any

project = "asgi-bridge"
author = "the authors of asgi-bridge"
copyright = "2026, the authors of asgi-bridge"  # noqa: A001 - the name that Sphinx reads

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build", "tests", "drawings"]
# Pages that other parts of the tree write need not be there.
suppress_warnings = ["toc.empty_glob"]
nitpicky = True

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

html_theme = "furo"
html_title = "asgi-bridge"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_theme_options = {"navigation_with_keys": True}
html_show_sphinx = False
pygments_style = "friendly"
pygments_dark_style = "monokai"

# A name between single backticks in a docstring is a link if it is one of ours, and else plain code.
default_role = "py:obj"
add_module_names = False
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_class_signature = "mixed"
autodoc_default_options = {"members": True, "show-inheritance": False}
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True
python_maximum_signature_line_length = 88

_OURS = {"asgi_local", "asgi_sync", "asgi_server", "asgi_wsgi", "asgiref"}


def _missing(app: Any, env: Any, node: Any, content: Any) -> Any:
    """Leave a name without a link where there is nothing of ours to link to.

    Type hints name the standard library, type variables and what is for type checkers alone. But a role that asks
    for one of our names in full has to find it.
    """
    if node.get("refdomain") != "py":
        return None
    target = str(node.get("reftarget", ""))
    module, dot, name = target.partition(".")
    is_ours = module in _OURS and bool(dot) and not any(part.startswith("_") for part in name.split("."))
    is_written = node.get("reftype") in {"func", "meth", "mod", "attr"}
    return None if is_ours or is_written else content


def setup(app: Any) -> None:
    app.connect("missing-reference", _missing)
