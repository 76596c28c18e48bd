import numpy as np
import pytest

from models.index.max_sim import max_sim
from models.index.token_codec import (
    TokenCodecConfig,
    encode_tokens,
    max_sim_scores,
    pool_neighbours,
    sentence_scores,
    token_starts,
)

EXACT = TokenCodecConfig(bits=16, pooling=1)
CONFIGS = [TokenCodecConfig(bits, pooling) for bits in (1, 2, 4, 16) for pooling in (1, 2, 3)]
HEADER_BYTES = 12


def tokens(num: int, seed: int = 0, dim: int = 384) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((num, dim))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)


def uniform(num: int) -> np.ndarray:
    return np.ones(num, np.float32)


def test_uncompressed_scores_are_those_of_late_interaction() -> None:
    query, documents = tokens(5, seed=1), [tokens(num, seed=num) for num in (3, 40, 1)]
    weights = np.array([3, 0, 1, 2, 0.5], np.float32)
    everything = np.concatenate(documents).astype(np.float32)
    expected = max_sim(query.astype(np.float32), weights, everything, [3, 40, 1])

    scores = max_sim_scores(query, weights, [encode_tokens(document, config=EXACT) for document in documents])

    assert scores.dtype == np.float32
    assert scores == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_the_document_that_has_the_querys_tokens_wins(config: TokenCodecConfig) -> None:
    documents = [tokens(30, seed=seed) for seed in range(10)]
    query = documents[7][4:10]

    scores = max_sim_scores(query, uniform(6), [encode_tokens(document, config=config) for document in documents])

    assert scores.argmax() == 7
    assert np.abs(scores).max() < 1.1


@pytest.mark.parametrize(("bits", "pooling", "size"), [(4, 1, 171 * 194), (4, 2, 86 * 194), (1, 3, 57 * 50)])
def test_a_blob_takes_its_bits_and_a_scale_for_each_pooled_row(bits: int, pooling: int, size: int) -> None:
    blob = encode_tokens(tokens(171), config=TokenCodecConfig(bits=bits, pooling=pooling))  # type: ignore[arg-type]

    assert len(blob) == HEADER_BYTES + size


def test_blobs_of_several_kinds_are_scored_together() -> None:
    documents = [tokens(7, seed=seed) for seed in range(len(CONFIGS))]
    query = tokens(4, seed=99)
    blobs = [encode_tokens(document, config=config) for document, config in zip(documents, CONFIGS, strict=True)]

    together = max_sim_scores(query, uniform(4), blobs)

    assert together == pytest.approx([max_sim_scores(query, uniform(4), [blob])[0] for blob in blobs], abs=1e-5)


def test_a_chunk_without_stored_vectors_has_no_score() -> None:
    blob = encode_tokens(tokens(3))

    scores = max_sim_scores(tokens(2, seed=1), uniform(2), [b"", blob, b""])

    assert np.isnan(scores).tolist() == [True, False, True]
    assert encode_tokens(tokens(0)) == b""
    assert np.isnan(max_sim_scores(tokens(2), uniform(2), [b""])).all()
    assert max_sim_scores(tokens(2), uniform(2), []).shape == (0,)


def test_a_query_without_tokens_scores_every_chunk_alike() -> None:
    scores = max_sim_scores(tokens(0), uniform(0), [encode_tokens(tokens(3)), encode_tokens(tokens(5))])

    assert scores.tolist() == [-1, -1]


def test_blobs_may_lie_in_a_memory_map(tmp_path) -> None:
    blob = encode_tokens(tokens(9))
    (tmp_path / "blobs").write_bytes(b"?" + blob + blob)
    mapped = np.memmap(tmp_path / "blobs", np.uint8, "r")
    slices = [mapped[1 : 1 + len(blob)], memoryview(blob), mapped[1 + len(blob) :]]

    scores = max_sim_scores(tokens(4, seed=1), uniform(4), slices)

    assert scores.tolist() == pytest.approx([max_sim_scores(tokens(4, seed=1), uniform(4), [blob])[0]] * 3, abs=1e-6)


def spans_of(*spans: tuple[int, int]) -> np.ndarray:
    return np.array(spans, np.int64).reshape(-1, 2)


def test_a_sentence_is_scored_by_the_tokens_that_begin_in_it() -> None:
    query, document = tokens(3, seed=1), tokens(5)
    weights = np.array([1, 2, 3], np.float32)
    starts = np.array([0, 4, 9, 12, 20])
    spans = spans_of((0, 9), (9, 12), (13, 20), (12, 30))

    (scores,) = sentence_scores(query, weights, [encode_tokens(document, EXACT, starts)], [spans])

    expected = max_sim_scores(
        query, weights, [encode_tokens(rows, config=EXACT) for rows in (document[:2], document[2:3], document[3:])]
    )
    assert scores[[0, 1, 3]] == pytest.approx(expected, abs=1e-5)
    assert np.isnan(scores[2])


def test_sentences_of_many_chunks_have_the_scores_they_have_alone() -> None:
    query, starts = tokens(3, seed=1), np.array([0, 4, 9, 12, 20])
    blobs = [
        encode_tokens(tokens(5, seed=2), EXACT, starts),
        b"",
        encode_tokens(tokens(5, seed=3), starts=starts),
        encode_tokens(tokens(5, seed=4), TokenCodecConfig(bits=4, pooling=2), starts),
        encode_tokens(tokens(5, seed=5), EXACT, starts),
    ]
    spans = [spans_of((0, 9), (9, 30)), spans_of((0, 9)), spans_of(), spans_of((4, 12)), spans_of((12, 13), (50, 60))]

    together = sentence_scores(query, uniform(3), blobs, spans)

    assert [len(scores) for scores in together] == [2, 1, 0, 1, 2]
    for place, scores in enumerate(together):
        (alone,) = sentence_scores(query, uniform(3), [blobs[place]], [spans[place]])
        np.testing.assert_allclose(scores, alone, atol=1e-6)


def test_pooled_neighbours_have_the_same_score() -> None:
    blob = encode_tokens(tokens(5), TokenCodecConfig(bits=4, pooling=2), np.arange(5))
    spans = spans_of((0, 1), (1, 2), (2, 3), (3, 4), (4, 5))

    (scores,) = sentence_scores(tokens(3, seed=1), uniform(3), [blob], [spans])

    assert scores[0] == scores[1] != scores[2]
    assert scores[2] == scores[3] != scores[4]


def test_without_starts_or_a_question_no_sentence_has_a_score() -> None:
    blobs, spans = [encode_tokens(tokens(5)), b""], [spans_of((0, 9), (9, 12))] * 2
    with_starts = encode_tokens(tokens(2), starts=np.array([0, 5]))

    scores = sentence_scores(tokens(3), uniform(3), blobs, spans)
    of_no_question = sentence_scores(tokens(0), uniform(0), [with_starts], spans[:1])

    assert all(np.isnan(of_blob).all() for of_blob in scores + of_no_question)


def test_starts_take_two_bytes_a_token() -> None:
    starts = np.array([0, 3, 70_000])

    blob = encode_tokens(tokens(3), starts=starts)

    assert len(blob) == len(encode_tokens(tokens(3))) + 6
    assert token_starts(blob).tolist() == [0, 3, 65_535]


def test_pooling_gives_the_direction_of_the_mean() -> None:
    pooled = pool_neighbours(np.array([[1, 0], [0, 1], [0, 1], [0, -1], [-1, 0]], np.float32), 2)

    # (1, 1) / sqrt(2); opposite vectors cancel; the last is alone.
    assert pooled == pytest.approx(np.array([[0.5**0.5, 0.5**0.5], [0, 0], [-1, 0]]))


@pytest.mark.parametrize(
    ("blob", "message"),
    [
        (b"\xff" + encode_tokens(tokens(3))[1:], "another version"),
        (encode_tokens(tokens(3))[:-1], "their header says"),
        (b"\x01", "another version"),
        (encode_tokens(tokens(3, dim=128)), "have 128 dimensions; those of the query have 384"),
    ],
)
def test_a_blob_that_cannot_be_read_is_refused(blob: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        max_sim_scores(tokens(2), uniform(2), [encode_tokens(tokens(3)), blob])
