"""A threading.local that also follows asyncio tasks."""

from . import _critical as _critical  # each makes its kind of Local known
from . import _default as _default
from ._base import Local

__all__ = ["Local"]

__version__ = "1.0.0"
