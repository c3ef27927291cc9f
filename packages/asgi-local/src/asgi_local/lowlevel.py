"""What asgi-sync needs to know of a Local. Nobody else should need this module.

A Local lives in context variables, so whoever carries a context carries it. Only where a new thread starts
with a copy of its parent's context (``CONTEXT_IS_INHERITED``) has asgi-sync to say which of the contexts that
turn up on a thread were carried there on purpose. A call that crosses takes these steps::

    sending thread      disown()                before it copies its context
    receiving thread    context.run(adopt)      before anything else runs in that copy
    sending thread      adopt()                 after it wrote back what the other side changed

The receiving thread alone cannot know: a context sent by the thread that set the values, and one sent by a
thread that merely inherited them, hold the same. That is why the sender has to speak first.
"""

from __future__ import annotations

from ._critical import ThreadCriticalLocal
from ._default import DefaultLocal
from ._home import CONTEXT_IS_INHERITED, adopt, disown

__all__ = ["CONTEXT_IS_INHERITED", "DefaultLocal", "ThreadCriticalLocal", "adopt", "disown"]
