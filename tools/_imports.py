"""Read what the packages import from each other, without importing them, and say what the house forbids.

The rules, each with its own kind of problem:

- a package imports the standard library, itself, and what its pyproject.toml declares (extras included);
- of a sibling it uses public modules and `lowlevel`, and there what `__all__` names: nothing with an underscore;
- a package imports a sibling only along an arrow of the architecture.
"""

import ast
import functools
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from _packages import Package

Arrows = Mapping[tuple[str, str], str]
"""(who imports, who is imported) -> why that may be."""

# Exists for type checkers alone.
_NEVER_INSTALLED = {"_typeshed"}


@dataclass(frozen=True)
class Use:
    """A name of another module that a file uses, from where that module is: `from a.b import c` gives a.b.c."""

    file: Path
    line: int
    name: str

    @property
    def top(self) -> str:
        return self.name.partition(".")[0]

    @property
    def has_private_part(self) -> bool:
        return any(part.startswith("_") and not part.startswith("__") for part in self.name.split("."))


def uses(file: Path) -> Iterator[Use]:
    """Everything that `file` imports, by statement or by a literal name, and what it takes from it by a dot."""
    for line, name in _names_used(file.read_text(encoding="utf-8")):
        yield Use(file, line, name)


@functools.cache
def _names_used(source: str) -> list[tuple[int, str]]:
    tree = ast.parse(source)
    found: list[tuple[int, str]] = []
    bound: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                found.append((node.lineno, alias.name))
                top = alias.name.partition(".")[0]
                bound[alias.asname or top] = alias.name if alias.asname else top
        elif isinstance(node, ast.ImportFrom) and not node.level:
            for alias in node.names:
                found.append((node.lineno, f"{node.module}.{alias.name}"))
                bound[alias.asname or alias.name] = f"{node.module}.{alias.name}"
        elif isinstance(node, ast.Call) and (name := _imported_by_call(node)):
            found.append((node.lineno, name))
    chains = [(node.lineno, _chain(node)) for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    found += [
        (line, ".".join([bound[chain[0]], *chain[1:]]))
        for line, chain in chains
        if chain and chain[0] in bound
    ]
    return found


def _imported_by_call(node: ast.Call) -> str:
    """The literal in `import_module("a.b")` or `__import__("a.b")`; a name that is computed cannot be seen."""
    function = node.func
    called = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    if called not in ("import_module", "__import__") or not node.args:
        return ""
    name = node.args[0]
    if not isinstance(name, ast.Constant) or not isinstance(name.value, str) or name.value.startswith("."):
        return ""
    return name.value


def _chain(node: ast.Attribute) -> list[str]:
    parts: list[str] = []
    inner: ast.expr = node
    while isinstance(inner, ast.Attribute):
        parts.append(inner.attr)
        inner = inner.value
    return [inner.id, *reversed(parts)] if isinstance(inner, ast.Name) else []


def sources(package: Package) -> list[Path]:
    return sorted(package.source.glob("**/*.py"))


def module_name(package: Package, file: Path) -> str:
    parts = file.relative_to(package.source.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def public_modules(package: Package) -> list[str]:
    names = [module_name(package, file) for file in sources(package)]
    return [name for name in names if not any(part.startswith("_") for part in name.split("."))]


def offered(package: Package) -> dict[str, set[str]]:
    """Per public module, the names in its `__all__`."""
    found: dict[str, set[str]] = {}
    public = set(public_modules(package))
    for file in sources(package):
        name = module_name(package, file)
        if name in public:
            found[name] = _all_of(file)
    return found


def _all_of(file: Path) -> set[str]:
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and any(getattr(it, "id", "") == "__all__" for it in node.targets):
            return set(ast.literal_eval(node.value))
    return set()


def undeclared(package: Package, packages: Mapping[str, Package]) -> list[str]:
    """Imports of what the package's pyproject.toml does not name."""
    declared = (*package.dependencies, *package.optional_dependencies)
    modules = {packages[name].module if name in packages else name.replace("-", "_") for name in declared}
    allowed = {package.module, *modules, *sys.stdlib_module_names, *_NEVER_INSTALLED}
    return [
        f"{_place(use, package)} imports {use.name}, which {package.name} does not declare"
        for file in sources(package)
        for use in uses(file)
        if use.top not in allowed
    ]


def unused(package: Package, packages: Mapping[str, Package]) -> list[str]:
    """Siblings that the package declares and never imports."""
    used = {use.top for file in sources(package) for use in uses(file)}
    return [
        f"{package.name} declares {name} and does not import it"
        for name in package.dependencies
        if name in packages and packages[name].module not in used
    ]


def trespasses(package: Package, packages: Mapping[str, Package]) -> list[str]:
    """Uses of what a sibling keeps to itself: modules and names with an underscore, names not in `__all__`."""
    doors = {other.module: offered(other) for other in packages.values() if other != package}
    found: list[str] = []
    for file in sources(package):
        for use in uses(file):
            if use.top not in doors:
                continue
            if use.has_private_part:
                found.append(f"{_place(use, package)} uses {use.name}, which is private")
            elif not _is_offered(use.name, doors[use.top]):
                found.append(f"{_place(use, package)} uses {use.name}, which no __all__ names")
    return found


def _is_offered(name: str, modules: Mapping[str, set[str]]) -> bool:
    if name in modules:
        return True
    # The longest prefix that is a module decides; what is below a name of it is that object's own affair.
    module, rest = name, ""
    while module and module not in modules:
        module, _, last = module.rpartition(".")
        rest = f"{last}.{rest}" if rest else last
    first = rest.partition(".")[0]
    return bool(module) and (first in modules[module] or first == "*" or first.startswith("__"))


def turned_round(packages: Mapping[str, Package], arrows: Arrows) -> list[str]:
    """Imports and declarations against the arrows, and arrows that nobody goes along any more."""
    owners = {package.module: package.name for package in packages.values()}
    found: list[str] = []
    gone: set[tuple[str, str]] = set()
    for package in packages.values():
        found += [
            f"{package.name} declares {name}: {_against(package.name, name, arrows)}"
            for name in package.dependencies
            if name in packages and (package.name, name) not in arrows
        ]
        for file in sources(package):
            for use in uses(file):
                other = owners.get(use.top, package.name)
                gone.add((package.name, other))
                if other != package.name and (package.name, other) not in arrows:
                    against = _against(package.name, other, arrows)
                    found.append(f"{_place(use, package)} imports {use.name}: {against}")
    found += [f"no import goes from {a} to {b} any more: take the arrow out" for a, b in arrows.keys() - gone]
    return found


def _against(package: str, other: str, arrows: Arrows) -> str:
    if (other, package) in arrows:
        return f"the arrow goes from {other} to {package}"
    return f"there is no arrow from {package} to {other}"


def _place(use: Use, package: Package) -> str:
    return f"{use.file.relative_to(package.folder.parent)}:{use.line}"
