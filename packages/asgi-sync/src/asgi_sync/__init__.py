"""Call sync code from async code and async code from sync code, fast and without hangs."""

__version__ = "1.0.0"
