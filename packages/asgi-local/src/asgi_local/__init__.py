"""A threading.local that also follows asyncio tasks."""

__version__ = "1.0.0"
