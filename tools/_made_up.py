"""Made-up trees of packages, for the tests of the tools: as small as they can be."""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path


class Tree:
    """A repository with packages, in a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def add(
        self,
        name: str,
        modules: Mapping[str, str] | None = None,
        needs: Sequence[str] = (),
        version: str = "1.0.0",
    ) -> None:
        """Add a package, or write it anew; `modules` holds what its modules say, beside the version."""
        module = name.replace("-", "_")
        folder = self.root / "packages" / name
        (folder / "src" / module).mkdir(parents=True, exist_ok=True)
        (folder / "pyproject.toml").write_text(
            '[build-system]\nrequires = ["flit_core >=4,<5"]\nbuild-backend = "flit_core.buildapi"\n'
            f"[project]\nname = {name!r}\ndescription = 'made up'\ndynamic = ['version']\n"
            f"dependencies = {list(needs)}\noptional-dependencies = {{ cache = ['redis >=5'] }}\n"
            f"[tool.flit.module]\nname = {module!r}\n",
            encoding="utf-8",
        )
        self.changelog(name, f"# Changelog\n\n## {version} (2026-11-21)\n\nFirst release.\n")
        given = {"__init__": "", **(modules or {})}
        for stem, text in given.items():
            self.write(name, stem, f'__version__ = "{version}"\n{text}' if stem == "__init__" else text)

    def write(self, name: str, stem: str, text: str) -> None:
        """Write one module of a package."""
        file = self.root / "packages" / name / "src" / name.replace("-", "_") / f"{stem}.py"
        file.write_text(text, encoding="utf-8")

    def changelog(self, name: str, text: str) -> None:
        (self.root / "packages" / name / "CHANGELOG.md").write_text(text, encoding="utf-8")

    def git(self, *arguments: str) -> None:
        # Nobody's own settings: no signing, no hooks, no other name of the branch.
        settings = (
            "user.name=A",
            "user.email=a@example.org",
            "commit.gpgsign=false",
            "core.hooksPath=/dev/null",
        )
        options = [part for setting in settings for part in ("-c", setting)]
        subprocess.run(["git", "-C", str(self.root), *options, *arguments], check=True, capture_output=True)

    def commit(self, *tags: str) -> None:
        """Commit everything, and tag it."""
        if not (self.root / ".git").exists():
            self.git("init", "--quiet")
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", "made up")
        for tag in tags:
            self.git("tag", tag)
