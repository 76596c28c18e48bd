"""Sketches find near-duplicates, and say how alike they are."""

import random

import pytest

from models.enrichment.sketch import bands, is_same_text, similarity, sketch_of


def prose(num_words: int, seed: int) -> list[str]:
    chosen = random.Random(seed)
    return [f"word{chosen.randrange(5_000)}" for _ in range(num_words)]


def with_changes(words: list[str], num_changes: int) -> list[str]:
    """Each change takes three runs of words away and adds three."""
    step = len(words) // num_changes
    return ["changed" if at % step == step // 2 else word for at, word in enumerate(words)]


def sketch(words: list[str]) -> bytes:
    return sketch_of(" ".join(words))


def test_equal_texts_are_the_same_and_share_every_band() -> None:
    first, second = sketch(prose(500, 1)), sketch(prose(500, 1))

    assert similarity(first, second) == 1
    assert is_same_text(first, second)
    assert bands(first) == bands(second)


def test_the_similarity_of_short_texts_is_exact() -> None:
    # 40 words have 38 runs. A changed word in the middle leaves 35 of 41.
    words = prose(40, 2)
    changed = [*words[:20], "changed", *words[21:]]

    assert similarity(sketch(words), sketch(changed)) == pytest.approx(35 / 41)
    assert not is_same_text(sketch(words), sketch(changed))


@pytest.mark.parametrize("num_changes", [20, 100, 200])
def test_the_similarity_of_long_texts_is_near_the_true_one(num_changes: int) -> None:
    words = prose(6_000, 3)
    changed = with_changes(words, num_changes)
    shared = 3 * sum(word == "changed" for word in changed)
    true = (5_998 - shared) / (5_998 + shared)

    assert similarity(sketch(words), sketch(changed)) == pytest.approx(true, abs=0.1)


def test_near_duplicates_share_a_band_and_other_texts_none() -> None:
    words = prose(2_000, 4)
    first = bands(sketch(words))

    for seed in range(20):
        changed = [
            word if random.Random(f"{seed} {at}").random() > 0.03 else "changed" for at, word in enumerate(words)
        ]
        assert set(first) & set(bands(sketch(changed)))
        assert not set(first) & set(bands(sketch(prose(2_000, 100 + seed))))


def test_form_case_and_signs_do_not_matter_but_for_the_same_text() -> None:
    first, second = sketch_of("The Spring-tide comes TWICE a month."), sketch_of("the spring tide comes twice, a month")

    assert similarity(first, second) == 1
    assert not is_same_text(first, second)


@pytest.mark.parametrize("text", ["", " \n", "...", "!?"])
def test_a_text_without_words_is_like_no_other(text: str) -> None:
    assert sketch_of(text) == b""
    assert bands(b"") == []
    assert similarity(b"", b"") == similarity(sketch_of("a b c d"), b"") == 0


def test_texts_without_spaces_are_compared_by_pairs_of_letters() -> None:
    text = "合同的费用由租户承担，合同在五月三十一日结束，双方各执一份。" * 3 + "甲公司"
    other = "合同的费用由租户承担，合同在五月三十一日结束，双方各执一份。" * 3 + "乙公司"

    assert 0.8 < similarity(sketch_of(text), sketch_of(other)) < 1


def test_a_sketch_is_small() -> None:
    assert len(sketch(prose(20_000, 5))) < 1_600
    assert all(-(2**63) <= band < 2**63 for band in bands(sketch(prose(100, 6))))
