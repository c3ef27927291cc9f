"""Threads that start with a copy of their parent's context, an option from 3.14 on."""

import sys
from collections.abc import Callable

INHERIT = ("-X", "thread_inherit_context=1") if sys.version_info >= (3, 14) else ()


def test_what_a_thread_merely_inherits_is_not_its_own_after_a_call(run_program: Callable[..., str]) -> None:
    """Writing back claims what came back, not the rest."""
    out = run_program(
        """
        import threading
        from asgi_local import Local
        from asgi_sync import async_to_sync

        local, other = Local(), Local()
        local.secret = "the parent's"

        async def set_other():
            other.value = 1

        def child():
            async_to_sync(set_other)()
            print(getattr(local, "secret", "nothing"), other.value)

        thread = threading.Thread(target=child)
        thread.start()
        thread.join()
        """,
        options=INHERIT,
    )
    assert out == "nothing 1\n"
