"""Checked by mypy and pyright, never run."""

from typing import Any, Protocol, assert_type, cast

from asgi_local import Local, lowlevel

local = Local()
assert_type(local, Local)
assert_type(Local(True), Local)
assert_type(Local(thread_critical=True), Local)

# Any name is Any.
assert_type(local.anything, Any)
local.anything = 1
del local.anything
assert_type(list(local), list[str])
assert_type(vars(local), dict[str, Any])


# Typed properly: say what it holds, and where the values come from does not matter any more.
class RequestData(Protocol):
    user: str
    attempts: int


request = cast("RequestData", Local())
assert_type(request.user, str)
request.user = "ada"
assert_type(request.attempts, int)
request.user = 1  # type: ignore[assignment]  # pyright: ignore[reportAttributeAccessIssue]
request.usr = "ada"  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]

assert_type(lowlevel.CONTEXT_IS_INHERITED, bool)
assert_type(lowlevel.adopt(), None)
assert_type(lowlevel.disown(), None)
