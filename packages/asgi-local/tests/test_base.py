"""What both kinds of Local have in common."""

from __future__ import annotations

import asyncio
import copy
import pickle
import string
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import asgi_local
from asgi_local import Local
from asgi_local._base import RESERVED
from asgi_local.lowlevel import DefaultLocal, ThreadCriticalLocal


def test_all_names_exist() -> None:
    for module in (asgi_local, asgi_local.lowlevel):
        for name in module.__all__:
            assert hasattr(module, name)


def test_each_argument_gives_one_of_two_classes() -> None:
    assert type(Local()) is DefaultLocal
    assert type(Local(False)) is DefaultLocal
    assert type(Local(True)) is ThreadCriticalLocal
    assert type(Local(thread_critical=True)) is ThreadCriticalLocal


def test_is_an_instance_before_and_after_the_first_set(local: Local) -> None:
    kind = type(local)
    local.x = 1
    assert isinstance(local, Local)
    assert isinstance(local, kind)
    assert issubclass(local.__class__, Local)
    assert type(local).__name__ == "Local"


def test_cannot_be_subclassed() -> None:
    class Mine(Local):  # type: ignore[misc]  # what is tested
        pass

    with pytest.raises(TypeError, match=r"cannot be subclassed.*Mine.*keep a Local in an attribute"):
        Mine()


@pytest.mark.parametrize("kind", [DefaultLocal, ThreadCriticalLocal])
def test_the_two_classes_are_not_called_directly(kind: type[Local]) -> None:
    with pytest.raises(TypeError, match="cannot be subclassed"):
        kind()


def test_set_get_delete(local: Local) -> None:
    local.x = 1
    local.y = None
    assert local.x == 1
    assert local.y is None
    local.x = 2
    assert local.x == 2
    del local.x
    assert not hasattr(local, "x")
    assert local.y is None


def test_missing_before_any_set(local: Local) -> None:
    with pytest.raises(AttributeError, match="'Local' object has no attribute 'x'") as caught:
        _ = local.x
    assert caught.value.name == "x"
    assert getattr(local, "x", "default") == "default"


def test_missing_beside_others(local: Local) -> None:
    local.y = 1
    with pytest.raises(AttributeError, match="'Local' object has no attribute 'x'") as caught:
        _ = local.x
    assert caught.value.name == "x"
    assert caught.value.__context__ is None
    assert getattr(local, "x", "default") == "default"


def test_delete_what_is_not_there(local: Local) -> None:
    with pytest.raises(AttributeError, match="'Local' object has no attribute 'x'"):
        del local.x
    local.x = 1
    del local.x
    with pytest.raises(AttributeError, match="'Local' object has no attribute 'x'"):
        del local.x
    with pytest.raises(AttributeError):
        del local.__class__


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_reserved_names_are_refused(local: Local, name: str) -> None:
    with pytest.raises(AttributeError, match=f"cannot set or delete '{name}' on a Local"):
        setattr(local, name, 1)
    local.important = "kept"
    with pytest.raises(AttributeError, match=f"cannot set or delete '{name}' on a Local"):
        setattr(local, name, 1)
    assert vars(local) == {"important": "kept"}


def test_names_that_the_implementation_uses_are_free(local: Local) -> None:
    names = ["_storage", "_lock", "var", "get", "cell", "home", "states", "limit", "held", "in_task", "mine"]
    for number, name in enumerate(names):
        setattr(local, name, number)
    assert [getattr(local, name) for name in names] == list(range(len(names)))


@given(
    st.text(string.ascii_letters + "_é0", min_size=1).filter(lambda name: name not in RESERVED), st.booleans()
)
def test_any_other_name_can_be_set(name: str, thread_critical: bool) -> None:
    local = Local(thread_critical)
    setattr(local, name, name)
    assert getattr(local, name) == name
    assert list(local) == [name]
    delattr(local, name)
    assert not hasattr(local, name)


Steps = st.lists(
    st.tuples(st.sampled_from(["set", "delete", "get"]), st.sampled_from("abc"), st.integers()), max_size=30
)


@settings(max_examples=50)
@given(Steps, st.booleans(), st.booleans())
def test_behaves_as_a_dict_of_names(steps: list[tuple[str, str, int]], critical: bool, in_task: bool) -> None:
    local = Local(critical)

    async def play() -> None:
        model: dict[str, int] = {}
        for action, name, number in steps:
            if action == "set":
                model[name] = number
                setattr(local, name, number)
            elif action == "get":
                assert getattr(local, name, None) == model.get(name)
            elif name in model:
                del model[name]
                delattr(local, name)
            else:
                with pytest.raises(AttributeError):
                    delattr(local, name)
            assert vars(local) == model
            assert list(local) == list(model)

    if in_task:
        asyncio.run(play())
    else:
        with pytest.raises(StopIteration):
            play().send(None)


@pytest.mark.asyncio
async def test_vars_is_a_copy_in_a_task(local: Local) -> None:
    assert vars(local) == {}
    local.x = 1
    vars(local)["y"] = 2
    assert vars(local) == {"x": 1}
    assert not hasattr(local, "y")


def test_vars_shows_what_is_held(local: Local) -> None:
    """In sync code it may be the thread's own dict, as with ``threading.local``."""
    assert vars(local) == {}
    local.x = 1
    assert vars(local) == {"x": 1}
    del local.x
    assert vars(local) == {}


def test_dir_and_iteration_give_the_names(local: Local) -> None:
    assert list(local) == []
    local.b = 1
    local.a = 2
    assert list(local) == ["b", "a"]
    assert {"a", "b", "__class__"} <= set(dir(local))
    assert [name for name in local if not delattr(local, name)] == ["b", "a"]
    assert list(local) == []


def test_repr_names_but_does_not_show(local: Local) -> None:
    assert "holding nothing in this context" in repr(local)
    local.password = "secret"
    assert "holding 'password' in this context" in repr(local)
    assert "secret" not in repr(local)


@pytest.mark.parametrize("action", [copy.copy, copy.deepcopy, pickle.dumps])
@pytest.mark.parametrize("used", [False, True])
def test_is_not_copied(local: Local, action: Any, used: bool) -> None:
    if used:
        local.x = 1
    with pytest.raises(TypeError, match=r"cannot be copied or pickled.*copy or pickle vars"):
        action(local)


def test_special_methods_called_by_name(local: Local) -> None:
    local.__setattr__("x", 1)
    local.__setattr__("y", 2)
    local.__delattr__("y")
    assert vars(local) == {"x": 1}
    assert local.__dict__ == {"x": 1}


def test_two_locals_are_two(local: Local) -> None:
    other = Local()
    local.x = 1
    other.x = 2
    assert (local.x, other.x) == (1, 2)
    assert local != other
    assert len({local, other}) == 2


def test_value_may_be_a_local(local: Local) -> None:
    local.inner = Local()
    local.inner.x = 1
    assert local.inner.x == 1
