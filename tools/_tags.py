"""Releases as git knows them: `asgi-sync-v1.0.1` is a tag on the commit that asgi-sync 1.0.1 was made from."""

import io
import subprocess
import tarfile
from pathlib import Path

from packaging.version import InvalidVersion, Version


class GitError(Exception):
    """git cannot do what was asked; the text is git's own."""


def git(root: Path, *arguments: str) -> bytes:
    try:
        done = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True)
    except FileNotFoundError:
        raise GitError("there is no git on this machine") from None
    if done.returncode:
        raise GitError(f"git {arguments[0]}: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout


def tag_name(name: str, version: Version | str) -> str:
    return f"{name}-v{version}"


def released(root: Path, name: str) -> list[Version]:
    """The versions of a package that have a tag, the oldest first."""
    prefix = tag_name(name, "")
    versions: list[Version] = []
    for tag in git(root, "tag", "--list", f"{prefix}*").decode().split():
        try:
            versions.append(Version(tag.removeprefix(prefix)))
        except InvalidVersion:
            raise GitError(
                f"the tag {tag} names no version: {prefix}1.0.0 is what a release is called"
            ) from None
    return sorted(versions)


def unpack(root: Path, name: str, version: Version, into: Path) -> Path:
    """Leave the folder of a package, as it was when `version` was tagged, in `into`, and return where it is."""
    return _extract(root, tag_name(name, version), f"packages/{name}", into)


def unpack_tree(root: Path, name: str, version: Version, into: Path) -> Path:
    """Leave all packages, as they were when `version` of one of them was tagged, in `into`."""
    return _extract(root, tag_name(name, version), "packages", into)


def _extract(root: Path, tag: str, folder: str, into: Path) -> Path:
    archive = git(root, "archive", "--format=tar", f"refs/tags/{tag}", folder)
    with tarfile.open(fileobj=io.BytesIO(archive)) as members:
        members.extractall(into, filter="data")
    return into / folder
