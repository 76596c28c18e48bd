"""What every LexicalIndex does, run over each backend."""

import math
from pathlib import Path

import numpy as np
import pytest

from models.errors import ConflictError
from models.index.base import LexicalIndex
from models.index.tantivy_index import TantivyIndex

TEXTS = [
    "The ferry to the island leaves at nine.",
    "Tickets for the ferry are sold on board.",
    "The island museum is closed on Mondays.",
    "Zażółć gęślą jaźń: café prices in Ångström Street",
]
KEYS = np.array([11, 22, 33, 44], np.int64)


@pytest.fixture(params=["memory", pytest.param("folder", marks=pytest.mark.slow)])
def index(request: pytest.FixtureRequest, tmp_path: Path) -> LexicalIndex:
    return TantivyIndex(folder=tmp_path if request.param == "folder" else None)


@pytest.fixture
def filled(index: LexicalIndex) -> LexicalIndex:
    index.add(KEYS, TEXTS)
    return index


def idf(num_documents: int, document_frequency: int) -> float:
    return math.log(1 + (num_documents - document_frequency + 0.5) / (document_frequency + 0.5))


def found(index: LexicalIndex, query: str, k: int = 10) -> list[int]:
    return index.search(query, k).ranking.keys.tolist()


def test_the_text_with_more_of_the_words_comes_first(filled: LexicalIndex) -> None:
    ranking = filled.search("island museum", k=10).ranking

    assert ranking.keys.tolist() == [33, 11]
    assert ranking.scores[0] > ranking.scores[1] > 0
    assert (ranking.keys.dtype, ranking.scores.dtype) == (np.int64, np.float32)


def test_k_bounds_the_hits(filled: LexicalIndex) -> None:
    assert len(found(filled, "ferry island museum", k=2)) == 2


def test_words_match_in_other_forms_cases_and_accents(filled: LexicalIndex) -> None:
    assert found(filled, "FERRIES") == found(filled, "ferry")
    assert found(filled, "cafe angstrom") == [44]
    assert found(filled, "gesla") == [44]


@pytest.mark.parametrize(
    "query",
    [
        "ferry AND museum",
        "+ferry -island",
        "text:ferry",
        '"ferry',
        "ferry)",
        "ferry^9",
        "key:[* TO *] ferry",
        "/ferry/ \\",
    ],
)
def test_nothing_in_a_query_is_an_operator(filled: LexicalIndex, query: str) -> None:
    assert 11 in found(filled, query)
    assert 22 in found(filled, query)


@pytest.mark.parametrize("query", ["", "   ", "?!", "…", "zeppelin"])
def test_a_query_without_a_known_word_finds_nothing(filled: LexicalIndex, query: str) -> None:
    assert found(filled, query) == []


def test_stop_words_do_not_count_beside_other_words(filled: LexicalIndex) -> None:
    assert found(filled, "what is the museum") == [33]


def test_stop_words_count_when_there_are_no_others(filled: LexicalIndex) -> None:
    assert sorted(found(filled, "to the")) == [11, 22, 33]


def test_what_was_added_is_found_by_the_next_search(filled: LexicalIndex) -> None:
    assert found(filled, "zeppelin") == []

    filled.add(np.array([55], np.int64), ["A zeppelin over the island"])

    assert found(filled, "zeppelin") == [55]
    assert len(filled) == 5


def test_what_was_removed_is_not_found_and_unknown_keys_are_ignored(filled: LexicalIndex) -> None:
    filled.remove(np.array([33, 999], np.int64))

    assert found(filled, "museum") == []
    assert len(filled) == 3


def test_a_removed_key_can_be_added_again_with_another_text(filled: LexicalIndex) -> None:
    filled.remove(KEYS[:1])
    filled.add(KEYS[:1], ["submarine"])

    assert found(filled, "submarine") == [11]
    assert found(filled, "nine") == []


def test_large_and_negative_keys_come_back_unchanged(index: LexicalIndex) -> None:
    extremes = np.array([2**63 - 1, -(2**63)], np.int64)
    index.add(extremes, ["lighthouse keeper", "lighthouse"])

    assert sorted(found(index, "lighthouse")) == sorted(extremes.tolist())


def test_an_empty_index_finds_nothing(index: LexicalIndex) -> None:
    assert found(index, "ferry") == []
    assert len(index) == 0


def test_term_weights_are_the_words_inverse_document_frequency(filled: LexicalIndex) -> None:
    weights = filled.search("Ferries to the MUSEUM", k=1).term_weights

    assert weights == pytest.approx({"ferries": idf(4, 2), "to": idf(4, 1), "the": idf(4, 3), "museum": idf(4, 1)})


def test_an_unknown_word_weighs_most(filled: LexicalIndex) -> None:
    weights = filled.search("ferry zeppelin", k=1).term_weights

    assert weights["zeppelin"] == pytest.approx(idf(4, 0))
    assert weights["zeppelin"] == max(weights.values())


def test_weights_stay_non_negative_after_removals(filled: LexicalIndex) -> None:
    filled.remove(KEYS[:3])

    assert all(weight >= 0 for weight in filled.search("the ferry to the island", k=5).term_weights.values())


def test_a_folder_keeps_what_was_committed(tmp_path: Path) -> None:
    index = TantivyIndex(tmp_path)
    index.add(KEYS, TEXTS)
    index.commit()
    del index

    reopened = TantivyIndex(tmp_path)

    assert found(reopened, "museum") == [33]


def test_a_folder_has_one_writer(tmp_path: Path) -> None:
    owner = TantivyIndex(tmp_path)

    with pytest.raises(ConflictError, match="has another writer"):
        TantivyIndex(tmp_path)
    assert len(owner) == 0
