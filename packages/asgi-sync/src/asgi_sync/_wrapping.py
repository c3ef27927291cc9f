"""What both wrappers have in common: they look like what they wrap, and bind like a method."""

from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING, Any, TypeVar

from ._marks import unmark

if TYPE_CHECKING:
    from typing import Self

K = TypeVar("K", bound=type)

_PACKAGE = __name__.rpartition(".")[0]


#: What a wrapper looks up on the callable when somebody asks for it. The others of functools.WRAPPER_ASSIGNMENTS are
#: found on the wrapper's class, so each wrapper needs its own.
_ON_DEMAND = frozenset(
    ["__name__", "__qualname__", "__annotations__", "__annotate__", "__type_params__", "__self__"]
)


def hide_annotations(kind: K) -> K:
    """Remove the annotations of a wrapper's class, which stand in for those of what is wrapped.

    From 3.14 on `functools.update_wrapper` copies `__annotate__` alone; an attribute `__annotations__` that is found in
    the class is asked first, by `typing.get_type_hints` and `functools.singledispatch`.
    """
    del kind.__annotations__
    return kind


@hide_annotations
class Wrapper:
    """Looks like the callable that it wraps.

    Wrappers are often made anew for each call, and hardly anybody looks at them: so most is not copied.
    """

    __wrapped__: Any

    if not TYPE_CHECKING:  # for whom every attribute would be there

        def __getattr__(self, name: str) -> Any:
            if name in _ON_DEMAND and "__wrapped__" in self.__dict__:
                return getattr(self.__wrapped__, name)
            raise AttributeError(
                f"{type(self).__name__!r} object has no attribute {name!r}", name=name, obj=self
            )


def adopt_metadata(wrapper: Any, wrapped: Any) -> None:
    """Give the wrapper the name, documentation, signature and attributes of the callable.

    To be called before the wrapper sets attributes of its own, which a callable may happen to have too.
    """
    attributes: dict[str, Any] = wrapper.__dict__
    if not getattr(wrapped, "__dict__", None):
        attributes["__module__"] = getattr(wrapped, "__module__", None)
        attributes["__doc__"] = wrapped.__doc__
        attributes["__wrapped__"] = wrapped
        return
    functools.update_wrapper(wrapper, wrapped)
    unmark(wrapper)
    for name in _hooks(wrapper.__class__) & attributes.keys():
        del attributes[name]  # the callable's attribute would stand in for a hook of ours
    instance = getattr(wrapped, "__self__", None)
    if instance is not None:
        wrapper.__self__ = instance


@hide_annotations
class BoundWrapper(Wrapper, functools.partial[Any]):
    """A wrapper as a method. Like a bound method it is equal to, and has the hash of, another of the same instance."""

    if TYPE_CHECKING:
        __self__: Any
        __name__: str

    def __new__(cls, wrapper: Any, instance: Any, owner: type | None) -> Self:
        self = super().__new__(cls, wrapper.__call__, instance)
        adopt_metadata(self, wrapper.__wrapped__)
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
