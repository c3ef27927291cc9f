"""A guestbook: a Flask site, an async stream and a bot, which share one thread and one event loop.

What to read, in this order:

- `store`: SQLite. Its connection belongs to one thread, and refuses to be used on another.
- `hub`: tells everybody who listens that there is a new entry. It belongs to the event loop.
- `pages`: the Flask application. Plain sync code, which tells the hub through `async_to_sync`.
- `stream`: server-sent events. Async code, which asks the store through `sync_to_async`.
- `bot`: a `StatelessServer` that listens to the hub and answers, one application instance per author.
- `request`: a `Local` that carries the request's id through all of them, into the log.
- `site`: puts them together into one ASGI application. `__main__` serves it, `check` drives it.
"""
