import random

import pytest

from models.errors.requests import InvalidRequestError
from models.retrieval.duplicates import unique

THRESHOLD = 0.9  # the default


def prose(num_words: int, seed: int) -> list[str]:
    """Draw random words from 400 made-up ones."""
    chosen = random.Random(seed)
    return [f"word{chosen.randrange(400)}" for _ in range(num_words)]


def text(words: list[str]) -> str:
    return " ".join(words)


def test_of_identical_texts_the_first_is_kept() -> None:
    first, second = text(prose(200, 1)), text(prose(200, 2))

    assert unique([first, second, first, second, first], THRESHOLD) == [0, 1]


def test_case_punctuation_and_white_space_do_not_tell_texts_apart() -> None:
    words = prose(50, 1)

    assert unique([text(words), "\n".join(words).upper() + "!"], THRESHOLD) == [0]


def test_boilerplate_with_a_changed_date_is_a_duplicate() -> None:
    words = prose(200, 1)
    march, may = [*words[:100], "3", "March", "2024", *words[103:]], [*words[:100], "9", "May", "2025", *words[103:]]

    # 198 shingles each; the three changed words are in 5 of them: 193 / 203 = 0.951.
    assert unique([text(march), text(may)], THRESHOLD) == [0]
    assert unique([text(march), text(may)], 0.96) == [0, 1]


@pytest.mark.parametrize(
    ("template", "names", "query", "expected"),
    [
        ("the lease of {} costs", ["Baker", "Cook", "Dyer", "Fuller"], "Compare Cook and Fuller's rent", [0, 1, 3]),
        ("the lease of {} costs", ["Baker", "Cook", "Dyer", "Fuller"], "What does a lease cost?", [0]),
        ("version {} waits for", ["2.1", "1.2", "2.10", "3.0"], "timeout in 1.2", [0, 1]),
        ("im Jahr {} wurden", ["2019", "2020", "2021"], "Wie viele wurden 2021 gebaut?", [0, 2]),
        ("der Mieter {} zahlt", ["Müller", "Größe"], "Gro\u0308ße", [0, 1]),
        ("合同 {} 的费用", ["甲公司", "乙公司"], "乙公司的费用是多少", [0, 1]),
    ],
)
def test_what_the_query_names_is_no_duplicate(template: str, names: list[str], query: str, expected: list[int]) -> None:
    before, after = text(prose(120, 1)), text(prose(120, 2))
    texts = [f"{before} {template.format(name)} {after}" for name in names]

    assert unique(texts, THRESHOLD, query) == expected
    assert unique([*texts, *texts], THRESHOLD, query) == expected
    assert unique(texts, THRESHOLD) == [0]


@pytest.mark.parametrize(
    ("names", "query", "expected"),
    [
        (["Abel", "Müller", "Weiß"], "Was zahlt man in Müllers Vertrag?", [0, 1]),
        (["Иванов", "Петров", "Сидоров"], "Договор Петрова и Сидорова", [0, 1, 2]),
        (["Kaya", "Yılmaz", "Demir"], "Yılmaz'ın kirası ne kadar?", [0, 1]),
        (["Poitou", "Anjou", "Berry"], "le bail d'Anjou", [0, 1]),
        (["甲公司", "乙公司", "丙公司"], "乙公司和丙公司的合同", [0, 1, 2]),
        (["30 Tage", "60 Tage", "90 Tage"], "Welcher Vertrag hat 90 Tage?", [0, 2]),
    ],
)
def test_names_are_recognized_in_other_forms(names: list[str], query: str, expected: list[int]) -> None:
    before, after = text(prose(120, 1)), text(prose(120, 2))

    assert unique([f"{before} {name} {after}" for name in names], THRESHOLD, query) == expected


def test_the_name_of_a_file_keeps_its_passages() -> None:
    clause = text(prose(120, 1))
    names = ["lease Abel 2023.pdf", "lease Baker 2024.pdf north", "lease Cook 2024.pdf", "the 2022.pdf"]

    assert unique([clause] * 4, THRESHOLD, "How long is the notice of Baker?", names=names) == [0, 1]
    assert unique([clause] * 4, THRESHOLD, "the leases of 2024", names=names) == [0, 1]
    assert unique([clause] * 4, THRESHOLD, "the notice of a lease", names=names) == [0]
    assert unique([clause] * 4, THRESHOLD, "Baker or Cook", limit=2, names=names) == [0, 1]


def test_neighbouring_chunks_that_overlap_are_both_kept() -> None:
    words = prose(408, 1)

    assert unique([text(words[:220]), text(words[188:])], THRESHOLD) == [0, 1]


def test_a_text_that_holds_another_and_much_more_is_kept() -> None:
    words = prose(200, 1)

    assert unique([text(words[:60]), text(words)], THRESHOLD) == [0, 1]


def test_the_same_words_in_another_order_are_another_text() -> None:
    assert unique(["the dog bit the old man", "the old man bit the dog"], THRESHOLD) == [0, 1]


def test_a_dropped_text_drops_no_other() -> None:
    # Each differs from the one before by one word in 40: shingles 35 / 41 = 0.854 shared; 32 / 44 two steps apart.
    words = prose(40, 1)
    once = [*words[:10], "changed", *words[11:]]
    twice = [*once[:25], "changed", *once[26:]]

    assert unique([text(words), text(once), text(twice)], 0.85) == [0, 2]


@pytest.mark.parametrize(
    ("texts", "unique_indexes"),
    [
        ([], []),
        ([""], [0]),
        (["", "…", "→"], [0, 1, 2]),
        (["yes", "Yes.", "no"], [0, 2]),
        (["not found", "found not", "Not found!"], [0, 1]),
    ],
)
def test_short_texts_are_compared_whole_and_empty_ones_not_at_all(texts: list[str], unique_indexes: list[int]) -> None:
    assert unique(texts, THRESHOLD) == unique_indexes


@pytest.mark.parametrize("limit", range(8))
def test_a_limit_cuts_the_same_list(limit: int) -> None:
    texts = [text(prose(40, seed)) for seed in (1, 1, 2, 1, 3, 2, 4)]

    assert unique(texts, THRESHOLD, limit=limit) == [0, 2, 4, 6][:limit]


@pytest.mark.parametrize("threshold", [0, -0.5, 1.01, float("nan")])
def test_a_threshold_outside_its_range_is_refused(threshold: float) -> None:
    with pytest.raises(InvalidRequestError, match="at most 1"):
        unique(["a b c"], threshold)
