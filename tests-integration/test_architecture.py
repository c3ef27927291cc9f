"""The architecture, kept honest: who may import whom, and what of it; and the checker sees what it should."""

import re
from pathlib import Path

import pytest
from _imports import trespasses, turned_round, undeclared, unused
from _made_up import Tree

from _packages import PACKAGES, Package, packages_of

#: Who imports whom, and why. Everything that is not here is forbidden, the other direction above all: each package
#: must be of use to somebody who has only it and what it points at.
ARROWS = {
    ("asgi-sync", "asgi-local"): "a call that crosses takes the values of Locals along, on purpose",
    ("asgi-wsgi", "asgi-sync"): "a WSGI application is sync code, and runs where thread-sensitive code runs",
    ("asgiref-meta", "asgi-local"): "hands on asgiref.local",
    ("asgiref-meta", "asgi-sync"): "hands on asgiref.sync",
    ("asgiref-meta", "asgi-server"): "hands on asgiref.server, .testing, .compatibility, .typing",
    ("asgiref-meta", "asgi-wsgi"): "hands on asgiref.wsgi",
}

packages = pytest.mark.parametrize("package", PACKAGES.values(), ids=PACKAGES.keys())


@packages
def test_package_imports_only_what_it_declares(package: Package) -> None:
    assert undeclared(package, PACKAGES) == []


@packages
def test_package_imports_what_it_declares(package: Package) -> None:
    assert unused(package, PACKAGES) == []


@packages
def test_package_uses_public_modules_of_its_siblings_alone(package: Package) -> None:
    assert trespasses(package, PACKAGES) == []


def test_no_arrow_is_turned_round() -> None:
    assert turned_round(PACKAGES, ARROWS) == []


def test_arrows_make_no_circle() -> None:
    later = {a for a, _ in ARROWS}
    earlier = set(PACKAGES) - later
    while later:
        free = {a for a in later if {b for x, b in ARROWS if x == a} <= earlier}
        assert free, f"a circle among {later}"
        earlier |= free
        later -= free


# The checker itself, on made-up packages: `lower`, and `upper`, which declares it.


@pytest.fixture
def house(tmp_path: Path) -> Tree:
    tree = Tree(tmp_path)
    lowlevel = '__all__ = ["stairs"]\nstairs = 1'
    lower = {"__init__": '__all__ = ["open"]\nopen = shut = 1', "_cellar": "wine = 1", "lowlevel": lowlevel}
    tree.add("the-lower", lower)
    tree.add("the-upper", {"__init__": "import os\nfrom the_lower import open"}, ["the-lower >=1,<2"])
    return tree


ARROW = {("the-upper", "the-lower"): "stands on it"}


def all_problems(house: Tree) -> list[str]:
    made_up = packages_of(house.root)
    found = [
        problem
        for package in made_up.values()
        for check in (undeclared, unused, trespasses)
        for problem in check(package, made_up)
    ]
    return found + turned_round(made_up, ARROW)


def test_checker_is_content_with_a_good_house(house: Tree) -> None:
    assert all_problems(house) == []


@pytest.mark.parametrize(
    "source",
    [
        "import attrs",
        "from attrs import define",
        "import attrs.validators as v",
        "def f():\n    import attrs",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import attrs",
        "try:\n    import attrs\nexcept ImportError:\n    attrs = None",
        "import importlib\nattrs = importlib.import_module('attrs')",
        "attrs = __import__('attrs')",
    ],
)
def test_undeclared_import_is_seen(house: Tree, source: str) -> None:
    house.write("the-upper", "_more", source)
    problems = all_problems(house)
    assert problems
    for problem in problems:
        assert re.search(r"_more.py:\d imports attrs[.\w]*, which the-upper does not declare$", problem)


@pytest.mark.parametrize(
    "source", ["import redis", "from . import _other", "from ._other import x", "import _typeshed"]
)
def test_declared_extras_and_own_modules_are_allowed(house: Tree, source: str) -> None:
    house.write("the-upper", "_more", source)
    assert all_problems(house) == []


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("from the_lower._cellar import wine", "the_lower._cellar.wine, which is private"),
        ("from the_lower import _cellar", "the_lower._cellar, which is private"),
        ("import the_lower._cellar", "the_lower._cellar, which is private"),
        ("import the_lower\nthe_lower._cellar", "the_lower._cellar, which is private"),
        ("import the_lower as low\nlow._cellar", "the_lower._cellar, which is private"),
        ("from the_lower import lowlevel\nlowlevel._stairs", "the_lower.lowlevel._stairs, which is private"),
        ("from the_lower import shut", "the_lower.shut, which no __all__ names"),
        ("import the_lower\nthe_lower.shut", "the_lower.shut, which no __all__ names"),
        ("from the_lower.lowlevel import cellar", "the_lower.lowlevel.cellar, which no __all__ names"),
        (
            "import importlib\nimportlib.import_module('the_lower._cellar')",
            "the_lower._cellar, which is private",
        ),
    ],
)
def test_use_of_what_a_sibling_keeps_to_itself_is_seen(house: Tree, source: str, problem: str) -> None:
    house.write("the-upper", "_more", source)
    found = {text.split(" uses ")[1] for text in all_problems(house)}
    assert problem in found


@pytest.mark.parametrize(
    "source",
    [
        "from the_lower.lowlevel import stairs",
        "import the_lower.lowlevel\nthe_lower.lowlevel.stairs",
        "from the_lower import lowlevel, open\nlowlevel.stairs\nopen.anything.below",
        "import the_lower\nthe_lower.__name__",
    ],
)
def test_public_modules_and_lowlevel_are_open(house: Tree, source: str) -> None:
    house.write("the-upper", "_more", source)
    assert all_problems(house) == []


def test_arrow_turned_round_is_seen(house: Tree) -> None:
    house.write("the-lower", "_more", "from the_upper import anything")
    found = all_problems(house)
    assert (
        "the-lower/src/the_lower/_more.py:1 imports the_upper.anything: the arrow goes from the-upper to the-lower"
        in found
    )


def test_arrow_that_is_not_there_is_seen_in_a_declaration_alone(house: Tree) -> None:
    house.add("the-annex", needs=["the-upper >=1"])
    assert all_problems(house) == [
        "the-annex declares the-upper and does not import it",
        "the-annex declares the-upper: there is no arrow from the-annex to the-upper",
    ]


def test_arrow_that_nobody_goes_along_is_seen(house: Tree) -> None:
    house.write("the-upper", "__init__", "")
    assert "no import goes from the-upper to the-lower any more: take the arrow out" in all_problems(house)
