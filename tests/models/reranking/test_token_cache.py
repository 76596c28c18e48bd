import numpy as np

from models.reranking.token_cache import TokenVectorCache, TokenVectors

# Two tokens of two dimensions in float16 are 8 bytes, and a key of one letter is 1: an entry is 9 bytes.
ENTRY_BYTES = 9


def two_tokens(value: float) -> TokenVectors:
    return np.full((2, 2), value, np.float16)


def filled(max_bytes: int, *texts: str) -> TokenVectorCache:
    cache = TokenVectorCache(max_bytes)
    for value, text in enumerate(texts):
        cache.put(text, two_tokens(value))
    return cache


def test_what_was_put_is_found_and_nothing_else() -> None:
    cache = filled(100, "a", "b")

    vectors_by_text = cache.get_many(["b", "zzz"])

    assert list(vectors_by_text) == ["b"]
    assert vectors_by_text["b"].tolist() == [[1, 1], [1, 1]]


def test_the_bytes_of_vectors_and_texts_count() -> None:
    assert filled(100, "a", "b").size_bytes == 2 * ENTRY_BYTES


def test_the_least_recently_used_goes_first() -> None:
    cache = filled(2 * ENTRY_BYTES, "a", "b")
    cache.get_many(["a"])

    cache.put("c", two_tokens(2))

    assert sorted(cache.get_many(["a", "b", "c"])) == ["a", "c"]
    assert cache.size_bytes == 2 * ENTRY_BYTES


def test_putting_a_text_again_replaces_it() -> None:
    cache = filled(100, "a")

    cache.put("a", two_tokens(7))

    assert cache.get_many(["a"])["a"][0, 0] == 7
    assert (len(cache), cache.size_bytes) == (1, ENTRY_BYTES)


def test_what_alone_passes_the_bound_is_not_kept_and_drives_nothing_out() -> None:
    cache = filled(ENTRY_BYTES, "a")

    cache.put("big", np.zeros((100, 2), np.float16))

    assert (len(cache), cache.size_bytes) == (1, ENTRY_BYTES)


def test_a_cache_of_no_bytes_keeps_nothing() -> None:
    assert len(filled(0, "a", "b")) == 0
