"""Run the Python of one page, as `python run_page.py PAGE`, in a process of its own.

The blocks of a page are one program: a later one may use what an earlier one defined. A text block below the line
`Output:` says what the block before it prints. Functions named `test_*` are called at the end.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import io
import re
import sys
import types
from contextlib import redirect_stdout
from pathlib import Path

BLOCK = re.compile(
    r"^```python\n(?P<code>.*?)^```$(?:\n\nOutput:\n\n```text\n(?P<output>.*?)^```$)?",
    re.MULTILINE | re.DOTALL,
)


def run(page: Path) -> int:
    text = page.read_text(encoding="utf-8")
    module = types.ModuleType("__main__")
    namespace = vars(module)
    sys.modules["__main__"] = (
        module  # for what looks functions up by name, as pickle does
    )
    blocks = list(BLOCK.finditer(text))
    for block in blocks:
        line = text.count("\n", 0, block.start("code"))
        tree = ast.increment_lineno(ast.parse(block["code"]), line)
        printed = io.StringIO()
        with redirect_stdout(printed):
            exec(compile(tree, str(page), "exec", dont_inherit=True), namespace)
        if block["output"] is not None and printed.getvalue() != block["output"]:
            raise AssertionError(
                f"{page}:{line + 1} prints\n{printed.getvalue()}and not\n{block['output']}"
            )
    for name, value in list(namespace.items()):
        if (
            name.startswith("test_")
            and inspect.isfunction(value)
            and not inspect.signature(value).parameters
        ):
            result = value()
            if inspect.iscoroutine(result):
                asyncio.run(result)
    return len(blocks)


if __name__ == "__main__":
    print(run(Path(sys.argv[1])), "blocks")
