"""Find out which distribution the files of the package `asgiref` belong to, and what is wrong with them.

Two distributions that install the same folder overwrite each other without a word, and removing one breaks
the other. Everything here works in such a state: it needs the standard library and this file alone.

The evidence is each distribution's RECORD: it lists the files that were installed, and the hash of each.
"""

import argparse
import base64
import hashlib
import importlib
import json
import re
import sys
from dataclasses import asdict, dataclass, field
from importlib.metadata import Distribution, PackageNotFoundError, distribution, distributions
from pathlib import Path
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

META = "asgiref-meta"
OURS = (META, "asgi-local", "asgi-sync", "asgi-server", "asgi-wsgi")
MODULES = (
    "__init__", "compatibility", "current_thread_executor", "local", "server", "sync", "testing", "timeout",
    "typing", "wsgi",
)  # fmt: skip
"""What both have: the state is judged by these."""

REINSTALL = "python -m pip install --force-reinstall --no-deps asgiref-meta"
STAND_IN = "install the stand-in distribution `asgiref` 3.13.0+meta.1 (docs/switching-from-asgiref.md)"


@dataclass
class Module:
    """A file of the package `asgiref`."""

    module: str
    file: str
    owner: str | None
    """The distribution that installed what the file holds now; None: it is missing, or has been changed."""
    claimed_by: list[str]
    """The distributions that say that they have installed a file there."""
    exists: bool


@dataclass
class Report:
    """What `python -m asgiref` prints; with `--json`, these fields."""

    ok: bool
    owner: str | None
    """The distribution that all modules belong to; None where they are mixed, changed or missing."""
    folder: str
    versions: dict[str, str | None]
    """Of the five distributions and of the one named asgiref; None: not installed."""
    stand_in: bool
    modules: list[Module]
    problems: list[str] = field(default_factory=list)
    advice: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def _version(name: str) -> str | None:
    try:
        return distribution(name).version
    except PackageNotFoundError:
        return None


def _name(installed: Distribution) -> str:
    return re.sub(r"[-_.]+", "-", installed.metadata["Name"] or "?").lower()


def _editable_source(installed: Distribution) -> Path | None:
    """The folder that an editable install reads from (PEP 610): RECORD does not list what is in there."""
    text = installed.read_text("direct_url.json")
    origin = json.loads(text) if text else {}
    if not origin.get("dir_info", {}).get("editable"):
        return None
    return Path(url2pathname(unquote(urlsplit(origin["url"]).path))).resolve()


def _claims(folder: Path) -> dict[Path, dict[str, str | None]]:
    """Say for each file below the folder who has installed it, and what its hash then was."""
    claims: dict[Path, dict[str, str | None]] = {}
    for installed in distributions():
        source = _editable_source(installed)
        if source and folder.is_relative_to(source) and _name(installed) == META:
            for module in folder.glob("*.py"):
                claims.setdefault(module, {})[_name(installed)] = None
        for file in installed.files or ():
            # The first part tells most files of an environment apart, without a look at the disk.
            if file.parts[0] == folder.name and file.suffix == ".py":
                claims.setdefault(Path(str(file.locate())).resolve(), {}).setdefault(
                    _name(installed), file.hash.value if file.hash else None
                )
    return claims


def _hash(file: Path) -> str:
    """As in RECORD: sha256, in base64 without padding."""
    return base64.urlsafe_b64encode(hashlib.sha256(file.read_bytes()).digest()).rstrip(b"=").decode()


def _module(file: Path, claimed: dict[str, str | None]) -> Module:
    exists = file.is_file()
    actual = _hash(file) if exists else None
    owners = [name for name, recorded in claimed.items() if exists and recorded in (actual, None)]
    # Where both have the very same file (an empty one, say), neither can have damaged it.
    owner = META if META in owners else owners[0] if owners else None
    return Module(f"asgiref.{file.stem}".removesuffix(".__init__"), str(file), owner, sorted(claimed), exists)


def _survey(folder: Path) -> list[Module]:
    claims = _claims(folder)
    wanted = {folder / f"{name}.py" for name in MODULES}
    present = set(folder.glob("*.py")) | {file for file in claims if file.parent == folder}
    return [_module(file, claims.get(file, {})) for file in sorted(wanted | present)]


def _broken_imports() -> list[str]:
    found = []
    for name in ("asgiref", *(f"asgiref.{name}" for name in MODULES[1:])):
        try:
            importlib.import_module(name)
        except Exception as error:
            found.append(f"`import {name}` fails: {type(error).__name__}: {error}")
    return found


def examine() -> Report:
    """Look at this environment, and say what is wrong."""
    folder = Path(__file__).resolve().parent
    modules = _survey(folder)
    shared = [module for module in modules if Path(module.file).stem in MODULES]
    owners = {module.owner for module in shared}
    versions = {name: _version(name) for name in (*OURS, "asgiref")}
    report = Report(
        ok=True,
        owner=owners.pop() if len(owners) == 1 else None,
        folder=str(folder),
        versions=versions,
        stand_in="+meta" in (versions["asgiref"] or ""),
        modules=modules,
    )
    _judge(report, shared)
    _advise(report)
    report.ok = not report.problems
    return report


def _judge(report: Report, shared: list[Module]) -> None:
    problems = report.problems
    upstream = bool(report.versions["asgiref"]) and not report.stand_in
    if not report.versions[META]:
        problems.append("No distribution asgiref-meta is installed, yet its files are here.")
    if upstream:
        problems.append(
            f"asgiref {report.versions['asgiref']} is installed too: both have installed this folder, the "
            "later one has overwritten the earlier, and removing either breaks the other."
        )
    missing = [module.module for module in shared if not module.exists]
    theirs = [module.module for module in shared if module.owner not in (None, META)]
    changed = [module.module for module in shared if module.exists and module.owner is None]
    if missing:
        problems.append(f"Missing: {', '.join(missing)}.")
    if theirs and len(theirs) == len(shared):
        problems.append("All modules are asgiref's: asgiref-meta is installed, and not used.")
    elif theirs:
        problems.append(f"Modules of two distributions are mixed. Not asgiref-meta's: {', '.join(theirs)}.")
    if changed:
        problems.append(f"Not as any distribution has installed them: {', '.join(changed)}.")
    problems += [f"{name} is not installed." for name in OURS[1:] if not report.versions[name]]
    problems += _broken_imports()


def _advise(report: Report) -> None:
    upstream = bool(report.versions["asgiref"]) and not report.stand_in
    if report.problems:
        if upstream:
            report.advice.append("To use asgiref-meta: python -m pip uninstall --yes asgiref")
        report.advice.append(("then:               " if upstream else "") + REINSTALL)
        if upstream:
            report.advice.append(f"and so that no installer brings asgiref back: {STAND_IN}.")
            report.advice.append("To use asgiref: python -m pip uninstall --yes asgiref-meta")
            report.advice.append("then:           python -m pip install --force-reinstall --no-deps asgiref")
        lacking = [name for name in OURS[1:] if not report.versions[name]]
        if lacking:
            report.advice.append(f"python -m pip install {' '.join(lacking)}")
    elif not report.versions["asgiref"]:
        report.notes.append(
            "No distribution is named asgiref: `pip check` says so for each that needs it, and the next "
            "install may bring asgiref's files back. To prevent it, tell your resolver to leave it out, or "
            f"{STAND_IN}."
        )


def _text(report: Report) -> str:
    lines = [f"package asgiref: {report.folder}", ""]
    lines += [f"  {name:13} {version or 'not installed'}" for name, version in report.versions.items()]
    if report.stand_in:
        lines[-1] += "   (the stand-in: a name without files)"
    lines.append("")
    for module in report.modules:
        state = module.owner or ("changed" if module.exists else "missing")
        others = [name for name in module.claimed_by if name != module.owner]
        lines.append(
            f"  {module.module:33} {state}" + (f"   (also in: {', '.join(others)})" if others else "")
        )
    lines.append("")
    lines += [f"PROBLEM: {problem}" for problem in report.problems]
    lines += [f"    {advice}" for advice in report.advice]
    lines += [f"Note: {note}" for note in report.notes]
    if report.ok:
        lines.append("All is well: `import asgiref` gives asgiref-meta, whole.")
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Print what was found; return 0 where all is well, and 1 where it is not."""
    parser = argparse.ArgumentParser(
        prog="python -m asgiref",
        description="Say whose the package asgiref in this environment is, and whether it is whole. "
        "Exit status: 0 where it is asgiref-meta's and whole, 1 where not.",
    )
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    options = parser.parse_args(arguments)
    report = examine()
    text = json.dumps(asdict(report), indent=2) if options.json else _text(report)
    sys.stdout.write(text + "\n")
    return 0 if report.ok else 1
