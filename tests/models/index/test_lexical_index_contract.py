"""The contract of LexicalIndex, run on each backend."""

import math

import numpy as np
import pytest
from filter_samples import ATTRIBUTES, EVERYTHING, FILES, NOTHING, WHERES, name_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lexical_backends import LEXICAL_BACKENDS, LexicalBackend

from models.errors.requests import ConflictError
from models.filters import Comparison, Filter, matches
from models.index.base import LexicalIndex
from models.types.arrays import KeyArray

TEXTS = [
    "The ferry to the island leaves at nine.",
    "Tickets for the ferry are sold on board.",
    "The island museum is closed on Mondays.",
    "Zażółć gęślą jaźń: café prices in Ångström Street",
]
KEYS = np.array([11, 22, 33, 44], np.int64)
FILE_KEYS = np.array([1, 1, 2, 3], np.int64)


@pytest.fixture(params=LEXICAL_BACKENDS, ids=lambda backend: getattr(backend, "name", None))
def backend(request: pytest.FixtureRequest) -> LexicalBackend:
    return request.param


@pytest.fixture
def weighing(backend: LexicalBackend) -> None:
    if not backend.has_weights:
        pytest.skip(f"{backend.name} does not tell how rare a word is")


@pytest.fixture
def index(backend: LexicalBackend) -> LexicalIndex:
    return backend.make()


@pytest.fixture
def filled(index: LexicalIndex) -> LexicalIndex:
    index.add(KEYS, FILE_KEYS, TEXTS)
    return index


@pytest.fixture
def filtered(index: LexicalIndex) -> LexicalIndex:
    """Two chunks with `ferry` for each of FILES, with their ATTRIBUTES: keys 10 and 11 are of file 1."""
    chunks = numbers(*(10 * file + number for file in FILES for number in (0, 1)))
    index.add(chunks, chunks // 10, [f"ferry number{key} to the island" for key in chunks])
    index.set_attributes(ATTRIBUTES)
    return index


def numbers(*values: int) -> KeyArray:
    return np.array(values, np.int64)


def idf(num_documents: int, document_frequency: int) -> float:
    return math.log(1 + (num_documents - document_frequency + 0.5) / (document_frequency + 0.5))


def find_keys(index: LexicalIndex, query: str, k: int = 10, where: Filter | None = None) -> list[int]:
    return index.search(query, k, where).ranking.keys.tolist()


def test_the_text_with_more_of_the_words_comes_first(filled: LexicalIndex) -> None:
    ranking = filled.search("island museum", k=10).ranking

    assert ranking.keys.tolist() == [33, 11]
    assert ranking.scores[0] > ranking.scores[1] > 0
    assert (ranking.keys.dtype, ranking.scores.dtype) == (np.int64, np.float32)


def test_k_bounds_the_hits(filled: LexicalIndex) -> None:
    assert len(find_keys(filled, "ferry island museum", k=2)) == 2


def test_words_match_in_other_forms_cases_and_accents(filled: LexicalIndex) -> None:
    assert find_keys(filled, "FERRIES") == find_keys(filled, "ferry")
    assert find_keys(filled, "cafe angstrom") == [44]
    assert find_keys(filled, "gesla") == [44]


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
    assert 11 in find_keys(filled, query)
    assert 22 in find_keys(filled, query)


@pytest.mark.parametrize("query", ["", "   ", "?!", "…", "zeppelin"])
def test_a_query_without_a_known_word_finds_nothing(filled: LexicalIndex, query: str) -> None:
    assert find_keys(filled, query) == []


def test_stop_words_do_not_count_beside_other_words(filled: LexicalIndex) -> None:
    assert find_keys(filled, "what is the museum") == [33]


def test_stop_words_count_when_there_are_no_others(filled: LexicalIndex) -> None:
    assert sorted(find_keys(filled, "to the")) == [11, 22, 33]


def test_what_was_added_is_found_by_the_next_search(filled: LexicalIndex) -> None:
    assert find_keys(filled, "zeppelin") == []

    filled.add(numbers(55), numbers(4), ["A zeppelin over the island"])

    assert find_keys(filled, "zeppelin") == [55]
    assert len(filled) == 5


def test_what_was_removed_is_not_found_and_unknown_keys_are_ignored(filled: LexicalIndex) -> None:
    filled.remove(numbers(33, 999, 33))
    filled.remove(numbers())

    assert find_keys(filled, "museum") == []
    assert len(filled) == 3


def test_a_removed_key_can_be_added_again_with_another_text(filled: LexicalIndex) -> None:
    filled.remove(KEYS[:1])
    filled.add(KEYS[:1], numbers(9), ["submarine"])

    assert find_keys(filled, "submarine") == [11]
    assert find_keys(filled, "nine") == []


def test_large_keys_come_back_unchanged(index: LexicalIndex) -> None:
    extremes = numbers(2**40, 0)
    index.add(extremes, extremes, ["lighthouse keeper", "lighthouse"])

    assert sorted(find_keys(index, "lighthouse")) == [0, 2**40]


def test_texts_without_a_key_or_a_file_are_refused(index: LexicalIndex) -> None:
    with pytest.raises((ConflictError, ValueError)):
        index.add(numbers(1, 2), numbers(1, 2), ["one"])
    with pytest.raises((ConflictError, ValueError)):
        index.add(numbers(1), numbers(1, 2), ["one"])
    assert len(index) == 0


def test_adding_nothing_changes_nothing(index: LexicalIndex) -> None:
    index.add(numbers(), numbers(), [])
    index.set_attributes({})

    assert len(index) == 0


def test_an_empty_index_finds_nothing(index: LexicalIndex) -> None:
    assert find_keys(index, "ferry") == find_keys(index, "ferry", 10, EVERYTHING) == []
    assert len(index) == 0


@pytest.mark.usefixtures("weighing")
def test_term_weights_are_the_words_inverse_document_frequency(filled: LexicalIndex) -> None:
    weights = filled.search("Ferries to the MUSEUM", k=1).term_weights

    assert weights == pytest.approx({"ferries": idf(4, 2), "to": idf(4, 1), "the": idf(4, 3), "museum": idf(4, 1)})


@pytest.mark.usefixtures("weighing")
def test_an_unknown_word_weighs_most(filled: LexicalIndex) -> None:
    weights = filled.search("ferry zeppelin", k=1).term_weights

    assert weights["zeppelin"] == pytest.approx(idf(4, 0))
    assert weights["zeppelin"] == max(weights.values())


@pytest.mark.usefixtures("weighing")
def test_weights_stay_non_negative_after_removals(filled: LexicalIndex) -> None:
    filled.remove(KEYS[:3])

    assert all(weight >= 0 for weight in filled.search("the ferry to the island", k=5).term_weights.values())


@pytest.mark.parametrize("where", WHERES, ids=name_of)
def test_a_filter_returns_the_chunks_of_matching_files(filtered: LexicalIndex, where: Filter) -> None:
    let_through = {file for file in FILES if matches(where, ATTRIBUTES.get(file, {}))}
    assert 0 < len(let_through) < len(FILES)

    keys = find_keys(filtered, "ferry", 100, where)

    assert sorted(keys) == sorted(10 * file + number for file in let_through for number in (0, 1))


def test_a_filter_that_matches_nothing_or_everything(filtered: LexicalIndex) -> None:
    assert find_keys(filtered, "ferry", 100, NOTHING) == []
    assert len(find_keys(filtered, "ferry", 100, EVERYTHING)) == len(filtered) == 2 * len(FILES)


@pytest.mark.parametrize("where", [WHERES[0], WHERES[5]])
def test_a_filter_gives_k_hits_though_it_excludes_the_best(filtered: LexicalIndex, where: Filter) -> None:
    shut_out = next(file for file in FILES if not matches(where, ATTRIBUTES.get(file, {})))
    many = np.arange(1_000, 1_200)
    filtered.add(many, np.full(200, shut_out), ["ferry ferry ferry"] * 200)

    assert len(find_keys(filtered, "ferry", 3, where)) == 3


@pytest.mark.parametrize("where", [*WHERES[:1], *WHERES[5:6], EVERYTHING])
def test_a_filter_changes_no_score(backend: LexicalBackend, filtered: LexicalIndex, where: Filter) -> None:
    if not backend.filter_keeps_scores:
        pytest.skip("its statistics are those of the chunks that the filter lets through")

    def scores(where: Filter | None) -> dict[int, float]:
        ranking = filtered.search("island number10 number60", 100, where).ranking
        return dict(zip(ranking.keys.tolist(), ranking.scores.tolist(), strict=True))

    everywhere, within = scores(None), scores(where)

    assert within
    assert within == pytest.approx({key: everywhere[key] for key in within})


def test_changed_attributes_are_seen_without_adding_again(filtered: LexicalIndex) -> None:
    where = Comparison("eq", "place", "south")
    assert sorted(find_keys(filtered, "ferry", 100, where)) == [30, 31]

    filtered.set_attributes({3: {}, 8: {"place": "south"}, 77: {"place": "south"}})

    assert sorted(find_keys(filtered, "ferry", 100, where)) == [80, 81]


def test_attributes_may_come_before_the_chunks(index: LexicalIndex) -> None:
    index.set_attributes({2: {"place": "north"}})
    assert find_keys(index, "museum", 3, WHERES[0]) == []

    index.add(KEYS, FILE_KEYS, TEXTS)

    assert find_keys(index, "island", 3, WHERES[0]) == [33]


# ("add", number of chunks, file), ("remove", first key, number of chunks), ("set", file, place).
CHANGES = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(1, 5), st.integers(0, 5)),
        st.tuples(st.just("remove"), st.integers(0, 20), st.integers(1, 6)),
        st.tuples(st.just("set"), st.integers(0, 5), st.sampled_from(["north", "south", ""])),
    ),
    max_size=12,
)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=CHANGES)
def test_any_sequence_of_changes_leaves_what_was_not_removed(
    backend: LexicalBackend, changes: list[tuple[str, int, int | str]]
) -> None:
    index, file_of, attributes, next_key = backend.make(), dict[int, int](), dict[int, dict[str, str]](), 0
    for kind, first, second in changes:
        if kind == "add":
            new = np.arange(next_key, next_key + first)
            index.add(new, np.full(first, second), ["ferry"] * first)
            file_of |= dict.fromkeys(new.tolist(), int(second))
            next_key += first
        elif kind == "remove":
            gone = np.arange(first, first + int(second))
            index.remove(gone)
            file_of = {key: file for key, file in file_of.items() if key not in gone}
        else:
            attributes[first] = {"place": str(second)} if second else {}
            index.set_attributes({first: attributes[first]})

    assert sorted(find_keys(index, "ferry", 1_000)) == sorted(file_of)
    for where in (WHERES[0], WHERES[5]):
        expected = [key for key, file in file_of.items() if matches(where, attributes.get(file, {}))]
        assert sorted(find_keys(index, "ferry", 1_000, where)) == sorted(expected)
