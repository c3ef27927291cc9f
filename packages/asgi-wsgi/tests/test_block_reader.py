from __future__ import annotations

import io

from hypothesis import given, settings
from hypothesis import strategies as st
from wsgi_driver import STRESS

from asgi_wsgi._block_reader import BlockReader


class Blocks(BlockReader):
    def __init__(self, blocks):
        self.left = [block for block in blocks if block]

    def _next_block(self):
        return self.left.pop(0) if self.left else b""


sizes = st.one_of(st.none(), st.integers(-1, 30))
calls = st.lists(
    st.one_of(
        st.tuples(st.just("read"), sizes),
        st.tuples(st.just("readline"), sizes),
        st.tuples(st.just("readlines"), sizes),
        st.tuples(st.just("next"), st.none()),
        st.tuples(st.just("readinto"), st.integers(0, 20)),
    ),
    max_size=15,
)


def perform(file, name, size):
    if name == "next":
        return next(file, "end")
    if name == "readinto":
        buffer = bytearray(size)
        return file.readinto(buffer), bytes(buffer)
    return getattr(file, name)(size)


@settings(max_examples=1000 if STRESS else 60)
@given(st.lists(st.binary(max_size=12).map(lambda b: b.replace(b"\x00", b"\n"))), calls)
def test_any_sequence_of_reads_is_that_of_bytesio(blocks, steps):
    ours, model = Blocks(blocks), io.BytesIO(b"".join(blocks))
    for name, size in steps:
        assert perform(ours, name, size) == perform(model, name, size)
    assert ours.read() == model.read()


@settings(max_examples=1000 if STRESS else 60)
@given(st.lists(st.binary(max_size=12)), st.lists(st.integers(-1, 20), max_size=20))
def test_read1_gives_what_is_there(blocks, steps):
    reader, model = Blocks(blocks), b"".join(blocks)
    for size in steps:
        data = reader.read1(size)
        assert model.startswith(data)
        assert size < 0 or len(data) <= size
        assert data or size == 0 or not model
        model = model[len(data) :]
