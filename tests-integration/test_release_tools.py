"""The tools that a release needs, on made-up repositories: each check can fail, and says why."""

import shutil
from pathlib import Path

import interface
import pytest
import release
from _environments import on_one_python
from _interface import judge
from _made_up import Tree
from _oldest import NoVersionError, choose
from _release_checks import paper_problems, unreleased_siblings
from _tags import GitError, released

from _packages import PACKAGES, ROOT

# Releases are made with one Python, so one is enough.
pytestmark = [
    on_one_python,
    pytest.mark.skipif(not shutil.which("git"), reason="git is not on this machine"),
]


@pytest.fixture
def tree(template: Path, tmp_path: Path) -> Tree:
    """Two packages, all committed, nothing tagged."""
    return Tree(shutil.copytree(template, tmp_path, dirs_exist_ok=True))


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made_up = Tree(tmp_path_factory.mktemp("template"))
    made_up.add("the-lower", {"__init__": '__all__ = ["f"]\nfrom ._f import f', "_f": "def f(x, y=1): ..."})
    made_up.add("the-upper", {"__init__": "from the_lower import f"}, ["the-lower >=1.0,<2"])
    made_up.commit()
    return made_up.root


def problems(tree: Tree, name: str = "the-lower", version: str = "1.0.0") -> list[str]:
    return [problem for found in paper_problems(tree.root, name, version).values() for problem in found]


# What a release says of itself.


def test_first_release_has_no_problem(tree: Tree) -> None:
    assert problems(tree) == []
    assert problems(tree, "the-upper") == []


@pytest.mark.parametrize("name", PACKAGES)
def test_papers_of_this_tree_are_in_order(name: str) -> None:
    """All but git: the folder may hold what is not committed, or be no repository."""
    found = paper_problems(ROOT, name, PACKAGES[name].version)
    assert {what: text for what, text in found.items() if text and what != "git"} == {}


@pytest.mark.parametrize(
    ("name", "version", "message"),
    [
        ("the-attic", "1.0.0", "there is no package 'the-attic': it is one of the-lower, the-upper"),
        ("the-lower", "one", "'one' is no version: 1.0.1 is one"),
        ("the-lower", "v1.0.0", "'v1.0.0' is not how a released version is written: that would be '1.0.0'"),
        ("the-lower", "1.0.0+local", "that would be '1.0.0'"),
    ],
)
def test_arguments_that_make_no_sense(tree: Tree, name: str, version: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        paper_problems(tree.root, name, version)


def test_version_in_the_code_is_another(tree: Tree) -> None:
    tree.changelog("the-lower", "## 1.0.1 (2026-12-01)\n\nMore.\n")
    tree.commit()
    assert problems(tree, version="1.0.1") == [
        '__init__.py of the-lower says __version__ = "1.0.0", not "1.0.1"',
    ]


def test_code_without_a_version(tree: Tree) -> None:
    tree.write("the-lower", "__init__", "")
    tree.commit()
    with pytest.raises(ValueError, match="the-lower: one line `__version__ = "):
        problems(tree, "the-upper")
    assert paper_problems(tree.root, "the-lower", "1.0.0")["version"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "# Changelog\n",
            "the newest entry in the-lower's CHANGELOG.md is missing: `## 1.0.0 (date)` is wanted",
        ),
        (
            "## 0.9 (2025-01-01)\n\nOld.\n## 1.0.0 (2026-01-01)\n\nNew.\n",
            "the newest entry in the-lower's CHANGELOG.md is of 0.9: `## 1.0.0 (date)` is wanted",
        ),
        (
            "## 1.0.0 (21.11.2026)\n\nNew.\n",
            "the-lower's CHANGELOG.md dates 1.0.0 '21.11.2026': (2026-11-21) is how that is written",
        ),
        (
            "## 1.0.0\n\nNew.\n",
            "the-lower's CHANGELOG.md dates 1.0.0 '': (2026-11-21) is how that is written",
        ),
        (
            "## 1.0.0 (unreleased)\n\n## 0.9 (2025-01-01)\n",
            "the-lower's CHANGELOG.md has nothing to say of 1.0.0",
        ),
    ],
)
def test_changelog_that_is_not_ready(tree: Tree, text: str, problem: str) -> None:
    tree.changelog("the-lower", text)
    tree.commit()
    assert problems(tree) == [problem]


def test_date_that_is_not_known_yet_remains_for_a_person(tree: Tree) -> None:
    tree.changelog("the-lower", "## 1.0.0 (unreleased)\n\nNew.\n")
    tree.commit()
    assert problems(tree) == []


def test_sibling_excludes_the_version(tree: Tree) -> None:
    tree.add("the-lower", version="2.0.0")
    tree.commit()
    assert problems(tree, version="2.0.0") == ["the-upper requires the-lower >=1.0,<2, which excludes 2.0.0"]
    assert problems(tree, "the-upper") == [
        "the-upper requires the-lower >=1.0,<2, but the-lower is 2.0.0 in this tree"
    ]


@pytest.mark.parametrize(
    "bad", ["the-lower", "the-lower >=1.0", "the-lower ==1.0.0", "the-lower >=1,<2,!=1.1"]
)
def test_range_with_one_end(tree: Tree, bad: str) -> None:
    tree.add("the-upper", needs=[bad])
    tree.commit()
    (problem,) = problems(tree, "the-upper")
    assert "a range >=A,<B is wanted" in problem


def test_range_with_nothing_in_it(tree: Tree) -> None:
    tree.add("the-upper", needs=["the-lower >=2,<1"])
    tree.commit()
    assert "the-upper requires the-lower<1,>=2: no version is in that range" in problems(tree, "the-upper")


def test_stand_in_that_was_left_behind(tree: Tree) -> None:
    folder = tree.root / "packages" / "the-lower" / "stand-in"
    folder.mkdir()
    (folder / "stood_in.py").write_text('__version__ = "0.9.0+meta.1"\n', encoding="utf-8")
    (folder / "pyproject.toml").write_text(
        "[project]\nname = 'stood'\ndependencies = ['the-lower >=0.9,<1']\n[tool.flit.module]\nname = 'stood_in'\n",
        encoding="utf-8",
    )
    tree.commit()
    assert problems(tree) == [
        "the stand-in beside the-lower is 0.9.0+meta.1: 1.0.0+meta.1 is wanted",
        "the stand-in requires the-lower >=0.9,<1, which excludes 1.0.0",
    ]


def test_folder_that_is_no_repository(tmp_path: Path) -> None:
    Tree(tmp_path).add("the-lower")
    (problem,) = problems(Tree(tmp_path))
    assert "not a git repository" in problem


def test_changes_that_are_not_committed(tree: Tree) -> None:
    tree.write("the-lower", "_new", "")
    tree.write("the-lower", "_f", "")
    folder = "packages/the-lower/src/the_lower"
    assert problems(tree) == [f"what is released must be committed: {folder}/_f.py, {folder}/_new.py"]


def test_tag_that_is_there(tree: Tree) -> None:
    tree.commit("the-lower-v1.0.0", "the-upper-v3.0.0")
    assert problems(tree) == ["there is a tag the-lower-v1.0.0: a version is released once"]
    assert problems(tree, "the-upper") == ["3.0.0 has been released, so 1.0.0 would be a step back"]


def test_tag_that_names_no_version(tree: Tree) -> None:
    tree.commit("the-lower-vnext")
    assert problems(tree) == [
        "the tag the-lower-vnext names no version: the-lower-v1.0.0 is what a release is called"
    ]


def test_versions_are_ordered_as_versions(tree: Tree) -> None:
    tree.commit("the-lower-v1.10.0", "the-lower-v1.9.0", "the-lower-v1.10.0rc1", "another-v7")
    assert [str(version) for version in released(tree.root, "the-lower")] == ["1.9.0", "1.10.0rc1", "1.10.0"]


def test_sibling_that_nobody_can_install_yet_is_named(tree: Tree) -> None:
    assert unreleased_siblings(tree.root, "the-upper") == ["the-lower 1.0.0"]
    tree.commit("the-lower-v0.9")
    assert unreleased_siblings(tree.root, "the-upper") == ["the-lower 1.0.0"]
    tree.commit("the-lower-v1.0.0")
    assert unreleased_siblings(tree.root, "the-upper") == []


# The command itself.


def test_command_ends_with_status_1_and_says_why(
    tree: Tree, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(release, "ROOT", tree.root)
    tree.write("the-lower", "_new", "")
    assert release.main(["the-lower", "1.0.1", "--work", str(tmp_path / "work")]) == 1
    told = capsys.readouterr()
    assert "FAILED  version\n            __init__.py of the-lower says" in told.out
    assert "FAILED  git\n            what is released must be committed" in told.out
    assert "ok      ranges of siblings" in told.out
    assert told.err == "not releasable: see version, changelog, git\n"


def test_tests_need_what_tox_installs_on_every_python() -> None:
    wanted = release.requirements_of_tests(ROOT)
    assert any(requirement.startswith("pytest>=") for requirement in wanted)
    assert not any("py313t" in requirement or "{" in requirement for requirement in wanted)


def test_command_that_fails_is_shown() -> None:
    with pytest.raises(release.CheckFailedError, match=r"ended with status 3:\nI was here"):
        release.run("sh", "-c", "echo I was here; exit 3")


# The public interface.


def test_package_without_a_tag_breaks_nothing(tree: Tree) -> None:
    verdict = judge(tree.root, "the-lower")
    assert verdict.lines == ["the-lower: has no tag the-lower-v* yet, so nothing can break"]
    assert verdict.problems == []


@pytest.mark.parametrize(
    ("now", "says"),
    [
        ("def g(x, y=1): ...\nf = 1", "the_lower._f.f: Public object points to a different kind of object"),
        ("def f(x): ...", "the_lower._f.f: Parameter was removed: y"),
        ("def f(x, y=1, *, z): ...", "the_lower._f.f: Parameter was added as required: z"),
        ("def f(x, y=2): ...", "the_lower._f.f: Parameter default was changed: y=1"),
        ("def f(x, *, y=1): ...", "the_lower._f.f: Parameter kind was changed: y=1 (positional or keyword)"),
    ],
)
def test_breaking_change_is_named(tree: Tree, now: str, says: str) -> None:
    tree.commit("the-lower-v1.0.0")
    tree.write("the-lower", "_f", now)
    verdict = judge(tree.root, "the-lower")
    assert any(says in line for line in verdict.lines), verdict.lines
    assert verdict.problems == ["the-lower 1.0.0 has 1 breaking change since 1.0.0: only 2.0.0 may"]


def test_name_that_is_gone_is_named(tree: Tree) -> None:
    tree.commit("the-lower-v1.0.0")
    tree.write("the-lower", "__init__", '__version__ = "1.1.0"\n__all__ = []')
    verdict = judge(tree.root, "the-lower")
    assert "  the_lower.f: Public object was removed" in verdict.lines
    assert verdict.problems == ["the-lower 1.1.0 has 1 breaking change since 1.0.0: only 2.0.0 may"]


def test_name_that_is_not_in_all_any_more_is_named(tree: Tree) -> None:
    tree.add("the-upper", {"door": '__all__ = ["f"]\nfrom the_lower import f'}, ["the-lower >=1.0,<2"])
    tree.commit("the-lower-v1.0.0", "the-upper-v1.0.0")
    tree.write("the-lower", "__init__", '__version__ = "1.0.0"\n__all__ = []\nfrom ._f import f')
    tree.write("the-upper", "door", "__all__ = []\nfrom the_lower import f")
    for name, place in (("the-lower", "the_lower.f"), ("the-upper", "the_upper.door.f")):
        verdict = judge(tree.root, name)
        assert f"  {place}: Public object is not in __all__ any more" in verdict.lines
        assert verdict.problems


@pytest.mark.parametrize("now", ["def f(x, y=1, z=2): ...", "def _g(): ...\ndef f(x, y=1): ..."])
def test_what_breaks_nobody_is_no_breaking_change(tree: Tree, now: str) -> None:
    tree.commit("the-lower-v1.0.0")
    tree.add(
        "the-lower",
        {"__init__": '__all__ = ["f", "g"]\nfrom ._f import f\ng = 1', "_f": now},
        version="1.1.0",
    )
    verdict = judge(tree.root, "the-lower")
    assert verdict.lines == ["the-lower: 1.1.0 here, nothing of the-lower-v1.0.0 breaks"]
    assert verdict.problems == []


def test_new_major_version_may_break(tree: Tree) -> None:
    tree.commit("the-lower-v1.0.0")
    tree.add("the-lower", {"__init__": "__all__ = []"}, version="2.0.0")
    verdict = judge(tree.root, "the-lower")
    assert "  the_lower.f: Public object was removed" in verdict.lines
    assert verdict.lines[-1] == "  2.0.0 may do that: it is a new major version"
    assert verdict.problems == []


def test_last_tag_is_what_counts(tree: Tree) -> None:
    tree.commit("the-lower-v1.9.0")
    tree.write("the-lower", "_f", "def f(x, y=1, z=2): ...")
    tree.commit("the-lower-v1.10.0")
    tree.write("the-lower", "_f", "def f(x, y=1): ...")
    assert any("Parameter was removed: z" in line for line in judge(tree.root, "the-lower").lines)


def test_what_is_handed_on_from_a_sibling_is_interface(tree: Tree) -> None:
    tree.add("the-upper", {"__init__": '__all__ = ["f"]\nfrom the_lower import f'}, ["the-lower >=1.0,<2"])
    tree.commit("the-upper-v1.0.0")
    tree.write("the-lower", "_f", "def f(x): ...")
    assert judge(tree.root, "the-upper").problems


def test_command_names_breaking_changes_of_all_packages(
    tree: Tree, capsys: pytest.CaptureFixture[str]
) -> None:
    tree.commit("the-lower-v1.0.0")
    assert interface.main([], tree.root) == 0
    tree.write("the-lower", "_f", "def f(x): ...")
    assert interface.main([], tree.root) == 1
    told = capsys.readouterr()
    assert "the_lower._f.f: Parameter was removed: y" in told.out
    assert "the-upper: has no tag" in told.out
    assert interface.main(["the-attic"], tree.root) == 1


# The oldest siblings.


def test_oldest_sibling_is_this_trees_while_there_is_no_tag(tree: Tree, tmp_path: Path) -> None:
    chosen = choose(tree.root, "the-upper", tmp_path / "shelf")
    assert list(map(str, chosen.values())) == ["the-lower 1.0.0, from this tree"]


def test_oldest_sibling_is_that_of_the_oldest_tag_in_range(tree: Tree, tmp_path: Path) -> None:
    tree.add("the-lower", version="0.9")
    tree.commit("the-lower-v0.9")
    for version in ("1.10.0", "1.2.0", "1.9.0"):
        tree.add("the-lower", {"__init__": f"made = {version!r}"}, version=version)
        tree.commit(f"the-lower-v{version}")
    chosen = choose(tree.root, "the-upper", tmp_path / "shelf")
    assert str(chosen["the-lower"]) == "the-lower 1.2.0, from the-lower-v1.2.0"
    text = (chosen["the-lower"].package.source / "__init__.py").read_text(encoding="utf-8")
    assert "made = '1.2.0'" in text


def test_siblings_of_siblings_count_with_the_ranges_of_their_time(tree: Tree, tmp_path: Path) -> None:
    tree.commit("the-lower-v1.0.0", "the-upper-v1.0.0")
    tree.add("the-lower", version="1.1.0")
    tree.add("the-upper", needs=["the-lower >=1.1,<2"], version="1.1.0")
    tree.add("the-roof", needs=["the-upper >=1.0,<2"])
    tree.commit("the-lower-v1.1.0", "the-upper-v1.1.0")
    chosen = choose(tree.root, "the-roof", tmp_path / "shelf")
    assert {name: str(choice.version) for name, choice in chosen.items()} == {
        "the-upper": "1.0.0",
        "the-lower": "1.0.0",
    }
    tree.add("the-roof", needs=["the-upper >=1.1,<2"])
    chosen = choose(tree.root, "the-roof", tmp_path / "shelf")
    assert {name: str(choice.version) for name, choice in chosen.items()} == {
        "the-upper": "1.1.0",
        "the-lower": "1.1.0",
    }


def test_range_that_nothing_fits(tree: Tree, tmp_path: Path) -> None:
    tree.commit("the-lower-v1.0.0")
    tree.add("the-upper", needs=["the-lower >=1.5,<2"])
    with pytest.raises(
        NoVersionError, match=r"the-lower<2,>=1.5 is wanted: 1.0.0 in this tree, released: 1.0.0"
    ):
        choose(tree.root, "the-upper", tmp_path / "shelf")


def test_tags_of_no_repository(tmp_path: Path) -> None:
    with pytest.raises(GitError, match="not a git repository"):
        released(tmp_path, "the-lower")
