"""The fleet without Redis; with one it is tested in tests-integration/test_fleet.py."""

import importlib
import subprocess
import sys

import pytest

import asgi_server
from asgi_server._redis_layout import Layout, decode, encode


def test_a_scope_has_one_partition_for_ever():
    layout = Layout("x", 16)
    # Written down, because another answer would send a scope's next message to another worker.
    assert [layout.partition(scope_id) for scope_id in ("", "user-1", "Grüße", "a" * 1000)] == [0, 4, 1, 3]


def test_scopes_spread_over_the_partitions():
    layout = Layout("x", 16)
    counts = [0] * 16
    for number in range(16_000):
        counts[layout.partition(f"user-{number}")] += 1
    assert min(counts) > 800


def test_messages_survive_being_written_down():
    fields = encode("Grüße", {"type": "x", "list": [1, None]}, {"text": "…"})
    raw = {key.encode(): value.encode() for key, value in fields.items()}
    assert decode(raw) == ("Grüße", {"type": "x", "list": [1, None]}, {"text": "…"})
    with pytest.raises(TypeError):
        encode("a", {}, b"not JSON")


@pytest.mark.parametrize(
    ("arguments", "error"), [(("x", 0), ValueError), (("x", "4"), TypeError), (("", 4), ValueError)]
)
def test_a_nonsense_layout_is_refused(arguments, error):
    with pytest.raises(error):
        Layout(*arguments)


def test_without_redis_py_the_import_says_what_to_install(monkeypatch):
    for name in [
        name for name in sys.modules if name.startswith(("redis", "asgi_server._redis", "asgi_server.redis"))
    ]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(ImportError, match=r'install "asgi-server\[redis\]"'):
        importlib.import_module("asgi_server.redis_streams")


def test_the_package_itself_needs_no_redis():
    public = ["asgi_server.server", "asgi_server.testing", "asgi_server.compatibility", "asgi_server.typing"]
    code = f"import sys; sys.modules['redis'] = None; import asgi_server, {', '.join(public)}"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert asgi_server.__version__ == "1.0.0"
