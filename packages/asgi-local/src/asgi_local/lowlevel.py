"""What asgi-sync needs to know of a Local. Nobody else should need this module.

A Local lives in context variables, but what plain sync code set stays on its thread, whoever runs a copy of
the context elsewhere. So asgi-sync says which contexts are carried on purpose. A call that crosses takes
these steps::

    sending thread      depart()    in the context that is sent: in a task's before it is copied,
                                    in sync code's inside the copy
    receiving thread    adopt()     inside the copy, before anything else runs there
    sending thread      disown()    before it writes back what the other side changed
    sending thread      adopt()     after that

``depart`` lets the values of the sending thread's sync code travel, and marks the context with ``TRAVELS``:
what is set in it from then on travels as well. Where that mark is there already, the call may be left out.
What the other side changed is what is not the same object any more as it was *after* ``depart``; the mark
itself is not to be written back.

``adopt`` is needed only where a new thread starts with a copy of its parent's context
(``CONTEXT_IS_INHERITED``). There the receiving thread alone cannot know: a context sent by the thread that
set the values, and one sent by a thread that merely inherited them, hold the same. So the sender has to speak
first: ``depart`` does there what ``disown`` does, never sets ``TRAVELS``, and is called on each send. And so
the sender has to let go of what it merely inherited itself before ``adopt`` takes all for its own.
"""

from __future__ import annotations

from ._bound import TRAVELS, depart
from ._critical import ThreadCriticalLocal
from ._default import DefaultLocal
from ._home import CONTEXT_IS_INHERITED, adopt, disown

__all__ = [
    "CONTEXT_IS_INHERITED",
    "TRAVELS",
    "DefaultLocal",
    "ThreadCriticalLocal",
    "adopt",
    "depart",
    "disown",
]
