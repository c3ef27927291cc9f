"""A threading.local that also follows asyncio tasks."""

from . import _critical, _default
from ._base import Local

__all__ = ["Local"]

__version__ = "1.0.0"
