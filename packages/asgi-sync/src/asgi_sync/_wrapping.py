"""What both wrappers have in common: they look like what they wrap, and bind like a method."""

from __future__ import annotations

import functools
import operator
import sys
from types import FunctionType
from typing import TYPE_CHECKING, Any

from ._marks import unmark

if TYPE_CHECKING:
    from typing import Self

_PACKAGE = __name__.rpartition(".")[0]


#: The attributes that a wrapper takes over, which every function has.
_NAMES = functools.WRAPPER_ASSIGNMENTS
_get_metadata = operator.attrgetter(*_NAMES)


def adopt_metadata(wrapper: Any, wrapped: Any) -> None:
    """Give the wrapper the name, documentation, signature and attributes of the callable.

    To be called before the wrapper sets attributes of its own, which a callable may happen to have too.
    """
    attributes: dict[str, Any] = wrapper.__dict__
    if type(wrapped) is FunctionType and not wrapped.__dict__:
        # What update_wrapper does, at a fifth of its price: wrappers are often made anew for each call.
        attributes.update(zip(_NAMES, _get_metadata(wrapped), strict=True))
        attributes["__wrapped__"] = wrapped
        return
    functools.update_wrapper(wrapper, wrapped)
    unmark(wrapper)
    for name in _hooks(wrapper.__class__) & attributes.keys():
        del attributes[name]  # the callable's attribute would stand in for a hook of ours
    instance = getattr(wrapped, "__self__", None)
    if instance is not None:
        wrapper.__self__ = instance


def hide_annotations(kind: type) -> None:
    """Remove the annotations of a wrapper's class, which stand in for those of what is wrapped.

    From 3.14 on `functools.update_wrapper` copies `__annotate__` alone; an attribute `__annotations__` that is found in
    the class is asked first, by `typing.get_type_hints` and `functools.singledispatch`.
    """
    del kind.__annotations__


class BoundWrapper(functools.partial[Any]):
    """A wrapper as a method. Like a bound method it is equal to, and has the hash of, another of the same instance."""

    if TYPE_CHECKING:
        __self__: Any
        __wrapped__: Any
        __name__: str

    def __new__(cls, wrapper: Any, instance: Any, owner: type | None) -> Self:
        self = super().__new__(cls, wrapper.__call__, instance)
        whole: Any = self  # a wrapper gets what its function has, besides what a partial has
        functools.update_wrapper(whole, wrapper.__wrapped__)
        self.__self__ = instance
        # For inspect.signature, which follows it: without the instance, as a bound method has it.
        get = getattr(wrapper.__wrapped__.__class__, "__get__", None)
        if get is not None:
            self.__wrapped__ = get(wrapper.__wrapped__, instance, owner)
        return self

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, BoundWrapper):
            return NotImplemented
        return self.func == other.func and self.__self__ is other.__self__

    def __hash__(self) -> int:
        return hash((self.func, id(self.__self__)))

    def __reduce__(self) -> Any:
        return getattr, (self.__self__, self.__name__)


def bind(wrapper: Any, wrapped: Any, instance: Any, owner: type | None) -> Any:
    """The wrapper as an attribute of an instance or class, by what the callable itself is."""
    if isinstance(wrapped, staticmethod):
        return wrapper
    if isinstance(wrapped, classmethod):
        instance = owner if owner is not None else type(instance)
    if instance is None:
        return wrapper
    return BoundWrapper(wrapper, instance, owner)


def function_of(wrapped: Any) -> Any:
    """What to call: a classmethod or staticmethod is not always callable itself."""
    if isinstance(wrapped, (classmethod, staticmethod)):
        inner: Any = wrapped  # pyright: ignore[reportUnknownVariableType]  # of any parameters
        return inner.__func__
    return wrapped


@functools.cache
def _hooks(kind: Any) -> frozenset[str]:
    """The names that a wrapper's class and its bases define."""
    bases: tuple[type, ...] = kind.__mro__[:-1]
    return frozenset(name for base in bases for name in vars(base) if not name.startswith("__"))


def callers_stacklevel() -> int:
    """For `warnings.warn` in the function that asks: the level of the first frame outside this package."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == _PACKAGE:
        level, frame = level + 1, frame.f_back
    return level
