"""Compare the public interface of a package with the one that was tagged last."""

import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import _tags
import griffe
from packaging.version import Version

from _packages import packages_of

# Its value changes with each release, and it is no interface.
_IGNORED = {"__version__"}


class InterfaceError(Exception):
    """The interface cannot be read."""


@dataclass
class Verdict:
    lines: list[str] = field(default_factory=list)
    """What was compared, and what breaks."""
    problems: list[str] = field(default_factory=list)
    """What must not be released like this: empty if nothing breaks, or the next major version says so."""


def judge(root: Path, name: str) -> Verdict:
    """Say what of `name` at `root` breaks those who use its last tagged version.

    Raises:
        InterfaceError: One of both cannot be read.
        GitError: git cannot say which tags there are.
    """
    tags = _tags.released(root, name)
    if not tags:
        return Verdict([f"{name}: has no tag {_tags.tag_name(name, '*')} yet, so nothing can break"])
    last = tags[-1]
    now = Version(packages_of(root)[name].version)
    broken = breaking_changes(root, name, last)
    tag = _tags.tag_name(name, last)
    if not broken:
        return Verdict([f"{name}: {now} here, nothing of {tag} breaks"])
    lines = [f"{name}: {now} here, against {tag}:", *(f"  {line}" for line in broken)]
    if now.major > last.major:
        return Verdict([*lines, f"  {now} may do that: it is a new major version"])
    count = f"{len(broken)} breaking change{'s' if len(broken) > 1 else ''}"
    return Verdict(lines, [f"{name} {now} has {count} since {last}: only {last.major + 1}.0.0 may"])


def breaking_changes(root: Path, name: str, version: Version) -> list[str]:
    """Name what `version` offered and this tree does not, or not in that way."""
    with tempfile.TemporaryDirectory(prefix="interface-") as folder:
        # With the siblings as they were then: what is handed on from them is interface as well.
        _tags.unpack_tree(root, name, version, Path(folder))
        old = _load(Path(folder), name)
        new = _load(root, name)
        found = [_sentence(breakage) for breakage in griffe.find_breaking_changes(old, new)]
        found += _hidden(old, new)
    return [line for line in found if line.partition(":")[0].rpartition(".")[2] not in _IGNORED]


def _hidden(old: griffe.Object | griffe.Alias, new: griffe.Object | griffe.Alias) -> list[str]:
    """Names that are still there, but not in `__all__` any more: griffe looks for their objects alone."""
    before, now = _exports(old), _exports(new)
    return [
        f"{module}.{name}: Public object is not in __all__ any more"
        for module in before.keys() & now.keys()
        for name in sorted(before[module] - now[module])
        if name in (new[module.partition(".")[2]] if "." in module else new).members
    ]


def _exports(package: griffe.Object | griffe.Alias) -> dict[str, set[str]]:
    modules = {package.path: package, **{module.path: module for module in package.modules.values()}}
    return {
        path: {str(getattr(name, "name", name)) for name in module.exports or ()}
        for path, module in modules.items()
        if not any(part.startswith("_") for part in path.split("."))
    }


def _load(root: Path, name: str) -> griffe.Object | griffe.Alias:
    """Read the sources, without importing them."""
    packages = packages_of(root)
    if name not in packages:
        raise InterfaceError(f"there is no packages/{name} in {root}")
    loader = griffe.GriffeLoader(
        search_paths=[package.folder / "src" for package in packages.values()], allow_inspection=False
    )
    try:
        for package in packages.values():
            loader.load(package.module, try_relative_path=False)
    except (ImportError, griffe.GriffeError, SyntaxError) as error:
        raise InterfaceError(f"{root}: {error}") from error
    loader.resolve_aliases(implicit=False)
    loaded: griffe.Object | griffe.Alias = loader.modules_collection[packages[name].module]
    return loaded


def _sentence(breakage: griffe.Breakage) -> str:
    kind = breakage.kind.value
    if breakage.kind is griffe.BreakageKind.OBJECT_REMOVED:
        return f"{breakage.obj.path}: {kind}"
    old, new = (getattr(value, "name", value) for value in (breakage.old_value, breakage.new_value))
    if breakage.kind is griffe.BreakageKind.PARAMETER_REMOVED:
        return f"{breakage.obj.path}: {kind}: {old}"
    if breakage.kind is griffe.BreakageKind.PARAMETER_ADDED_REQUIRED:
        return f"{breakage.obj.path}: {kind}: {new}"
    if breakage.kind.name.startswith("PARAMETER"):
        return f"{breakage.obj.path}: {kind}: {_parameter(breakage.old_value)}, now {_parameter(breakage.new_value)}"
    return f"{breakage.obj.path}: {kind}: {_text(old)}, now {_text(new)}"


def _parameter(value: object) -> str:
    if not isinstance(value, griffe.Parameter):
        return str(value)
    kind = value.kind.value if value.kind else "parameter"
    return f"{value.name}{f'={value.default}' if value.default is not None else ''} ({kind})"


def _text(value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    return str(getattr(value, "value", value))
