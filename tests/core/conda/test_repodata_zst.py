"""One frame out of independently compressed pieces, read by every decoder that conda's clients use."""

from __future__ import annotations

import shutil
import subprocess

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from antivenom.core.conda.repodata_zst import RESET_BLANKS, assemble, block_run, compressor, read_block_run
from antivenom.core.errors import InvalidInputError

# Texts with long repeats, so that encoders use repeat offsets, every literals mode and several blocks.
words = st.lists(
    st.sampled_from([b'"build":"h123_0",', b'"depends":["python >=3.9"],', b"x", b"\x00\xff", b"0123456789" * 40])
)
pieces = st.tuples(words, st.integers(1, 400)).map(lambda pair: b"".join(pair[0]) * pair[1])


@settings(deadline=None, max_examples=25)  # every example publishes or compresses several times
@given(st.lists(pieces, max_size=5))
def test_pieces_put_together_decompress_to_their_texts(texts: list[bytes]) -> None:
    runs = [block_run(compressor().compress(text), len(text)) for text in texts]
    whole = assemble([b"[", *runs, b"]"])
    expected = b"[" + b"".join(b" " * RESET_BLANKS + text for text in texts) + b"]"
    assert zstandard.ZstdDecompressor().decompress(whole.data) == expected
    assert whole.content_size == len(expected)
    assert [read_block_run(run.blocks, len(text)) for run, text in zip(runs, texts, strict=True)] == texts


def test_repeat_offsets_do_not_leak_from_one_piece_into_the_next() -> None:
    # Different strides force different offset histories; a decoder with the wrong history garbles the second text.
    texts = [bytes(range(stride)) * 3000 for stride in (7, 3, 251, 16)]
    runs = [block_run(compressor().compress(text), len(text)) for text in texts * 3]
    whole = assemble(runs)
    expected = b"".join(b" " * RESET_BLANKS + text for text in texts * 3)
    assert zstandard.ZstdDecompressor().decompress(whole.data) == expected


@pytest.mark.skipif(shutil.which("zstd") is None, reason="the zstd command is not installed")
def test_the_zstd_command_reads_it_too() -> None:
    texts = [b'{"a":%d},' % i * 5000 for i in range(40)]
    whole = assemble([b"[", *(block_run(compressor().compress(t), len(t)) for t in texts), b"0]"])
    out = subprocess.run(["zstd", "-dc"], input=whole.data, capture_output=True, check=True).stdout
    assert out == zstandard.ZstdDecompressor().decompress(whole.data)


def test_a_frame_with_a_checksum_is_refused() -> None:
    frame = zstandard.ZstdCompressor(write_checksum=True).compress(b"text")
    with pytest.raises(InvalidInputError):
        block_run(frame, 4)


def test_a_frame_that_is_cut_short_is_refused() -> None:
    text = bytes(range(256)) * 2000
    with pytest.raises(InvalidInputError):
        block_run(compressor().compress(text)[:20], len(text))
