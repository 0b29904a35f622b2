"""The cache of answers: for which publication an answer holds, and what is dropped when it is full."""

from __future__ import annotations

import pytest

from antivenom.server.distribution.answer_cache import (
    ENTRY_MAX_BYTES,
    ENTRY_OVERHEAD_BYTES,
    AnswerCache,
    CachedAnswer,
)


def answer(
    size: int = 10, *, publication_id: int | None = 1, is_immutable: bool = False, fill: bytes = b"x"
) -> CachedAnswer:
    return CachedAnswer(fill * size, b"", b'"e"', publication_id, is_immutable, "repodata")


@pytest.mark.parametrize(
    ("made_from", "served", "holds"),
    [
        (1, 1, True), (1, 2, False), (2, 1, False), (None, None, True), (None, 1, False), (1, None, False),
    ],
)  # fmt: skip
def test_an_answer_holds_for_the_publication_that_it_was_made_from_and_an_immutable_one_for_all(
    made_from: int | None, served: int | None, holds: bool
) -> None:
    assert answer(publication_id=made_from).holds_for(served) is holds
    assert answer(publication_id=made_from, is_immutable=True).holds_for(served)


def test_the_least_recently_used_answers_make_room() -> None:
    cache = AnswerCache(3 * (10 + ENTRY_OVERHEAD_BYTES))
    for path in (b"a", b"b", b"c"):
        cache.put(b"main", path, answer())
    assert (len(cache), cache.size_bytes) == (3, 3 * (10 + ENTRY_OVERHEAD_BYTES))
    assert cache.get(b"main", b"a")
    cache.put(b"main", b"d", answer())
    assert [path for path in (b"a", b"b", b"c", b"d") if cache.get(b"main", path) is None] == [b"b"]
    cache.put(b"main", b"e", answer(11))  # one byte too many for three
    assert (len(cache), cache.size_bytes) == (2, 21 + 2 * ENTRY_OVERHEAD_BYTES)


def test_a_newer_answer_replaces_and_frees_the_older_one() -> None:
    cache = AnswerCache()
    cache.put(b"main", b"a", answer(1000))
    cache.put(b"main", b"a", newer := answer(5, publication_id=2))
    assert (cache.get(b"main", b"a"), len(cache), cache.size_bytes) == (newer, 1, 5 + ENTRY_OVERHEAD_BYTES)


def test_an_answer_that_is_too_large_is_not_kept() -> None:
    cache = AnswerCache()
    cache.put(b"main", b"largest", answer(ENTRY_MAX_BYTES))
    cache.put(b"main", b"larger", answer(ENTRY_MAX_BYTES + 1))
    assert (cache.get(b"main", b"larger"), cache.get(b"main", b"largest") is not None) == (None, True)


def test_a_channel_is_forgotten_alone() -> None:
    cache = AnswerCache()
    for channel in (b"main", b"mai", b"main2"):
        for path in (b"a", b"b"):
            cache.put(channel, path, answer())
    cache.forget_channel(b"main")
    assert (cache.get(b"main", b"a"), cache.get(b"main", b"b")) == (None, None)
    assert all(cache.get(channel, b"a") for channel in (b"mai", b"main2"))
    assert (len(cache), cache.size_bytes) == (4, 4 * (10 + ENTRY_OVERHEAD_BYTES))
