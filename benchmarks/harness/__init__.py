"""What the benchmark scripts share: peers side by side, interleaved rounds, a table and a JSON file.

A script of benchmarks is a module beside this package with one function::

    from harness import Bench, load_peer, statement

    def run(bench: Bench) -> None:
        asgiref = load_peer("asgiref")
        subjects = {
            "ours": statement("f()", {"f": ours}),
            "asgiref": statement("f()", {"f": asgiref.sync.f}),
        }
        bench.compare("what is measured", subjects)

The first subject is ours, the others are its peers. A subject is a function ``(n: int) -> float``: do it
*n* times, return the seconds that took. ``statement`` and ``coroutine`` make one. A script may say
``MODES = "both"`` to be measured both pinned to one core and not. Nothing here needs more than the standard
library, so any interpreter can measure; ``run.py`` draws the table.
"""

from ._measure import Bench, Subject, coroutine, statement
from ._peers import load_peer

__all__ = ["Bench", "Subject", "coroutine", "load_peer", "statement"]
