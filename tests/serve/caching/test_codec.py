"""Results come back from their bytes exactly, and broken bytes are refused."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.generation.citations import Citation, Marker
from models.generation.evidence import Signals
from models.generation.structured import FieldSupport
from models.generation.support import Unsupported
from models.types.chunks import Passage
from models.types.stage_results import Embeddings
from serve.caching.codec import (
    DECODING_ERRORS,
    decode_embeddings,
    decode_events,
    decode_retrieved,
    encode_embeddings,
    encode_events,
    encode_retrieved,
)
from serve.pipelines.answering import Answered, Cited, Event, PassagesFound, TextGenerated
from serve.pipelines.retrieving import Retrieved
from serve.pipelines.trace import Search, Trace
from tests.serve.caching.cache_samples import untraced

SIGNALS = Signals(0.5, None, 7)
SEARCHES = (Search("part", "Who?"), Search("filtered", "When?", (("year", (2024, "2024")),), is_dropped=True))

# A busy machine is no fault.
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
floats = st.floats(allow_nan=False, allow_infinity=False)
values = st.one_of(texts, st.booleans(), floats)
keys = st.integers(1, 2**62)
passages = st.builds(
    Passage,
    key=keys,
    chunk_id=texts,
    file_id=texts,
    filename=texts,
    text=texts,
    start=st.integers(0, 10**9),
    end=st.integers(0, 10**9),
    context=texts,
    attributes=st.dictionaries(texts, values, max_size=3),
    score=floats,
)
several = st.lists(passages, max_size=3, unique_by=lambda passage: passage.key).map(tuple)


@st.composite
def answers(draw: st.DrawFn) -> list[Event]:
    """The events of an answer that cites its passages."""
    retrieved = draw(several)
    citations = tuple(
        Citation(number, passage, draw(texts), 0, draw(st.integers(0, 99)), draw(floats))
        for number, passage in enumerate(retrieved, 1)
    )
    written = draw(st.lists(texts, max_size=3))
    answered = Answered(
        "".join(written),
        citations,
        retrieved[::-1],
        "stop",
        7,
        len(written),
        Trace(models={"generate": "m"}, searches=list(SEARCHES)),
        tuple(Marker(citation.id, 3 * citation.id, 9) for citation in citations),
        draw(st.none() | floats),
        draw(st.booleans()),
        draw(texts),
        (Unsupported(draw(texts)), Unsupported(draw(texts), 3, 9)),
        draw(texts),
        (FieldSupport(draw(texts), (1, 2)), FieldSupport(draw(texts), (), False)),
    )
    return [
        PassagesFound(retrieved, draw(st.booleans()), tuple(draw(st.lists(texts, max_size=2)))),
        *map(Cited, citations),
        *map(TextGenerated, written),
        answered,
    ]


@patient
@given(answers())
def test_the_events_of_an_answer_come_back_in_order(events: list[Event]) -> None:
    decoded = decode_events(encode_events(events))

    assert untraced(decoded) == untraced(events)
    assert isinstance(decoded[-1], Answered)
    assert decoded[-1].trace.models == {"generate": "m"}
    assert decoded[-1].trace.searches == list(SEARCHES)


@patient
@given(several, st.dictionaries(texts, floats, max_size=3), st.integers(0, 500))
def test_passages_come_back_with_their_scores(
    retrieved: tuple[Passage, ...], weights: dict[str, float], num_candidates: int
) -> None:
    trace, own_trace = Trace(models={"rerank": "m"}), Trace()

    decoded = decode_retrieved(
        encode_retrieved(Retrieved(retrieved, weights, trace, num_candidates, (), SIGNALS, 0.25)), own_trace
    )

    assert decoded == Retrieved(retrieved, weights, own_trace, num_candidates, (), SIGNALS, 0.25)
    assert (decoded.trace, own_trace.models) == (own_trace, {"rerank": "m"})


def test_scores_of_sentences_come_back_also_unknown_ones() -> None:
    scores = (np.array([0.1, np.nan, 0.3], np.float32), np.empty(0, np.float32))

    decoded = decode_retrieved(encode_retrieved(Retrieved((), {}, Trace(), 0, scores)), Trace())

    assert [row.tobytes() for row in decoded.sentence_scores] == [row.tobytes() for row in scores]


def test_vectors_come_back_bit_by_bit() -> None:
    vectors = np.random.default_rng(0).standard_normal((1, 384), np.float32)

    decoded = decode_embeddings(encode_embeddings(Embeddings(vectors, "minilm@1", "minilm", 7)))

    assert decoded.vectors.dtype == np.float32
    assert decoded.vectors.tobytes() == vectors.tobytes()
    assert (decoded.generation, decoded.model, decoded.num_tokens) == ("minilm@1", "minilm", 7)
    decoded.vectors[0, 0] = 0  # as writable as the model's own


@pytest.mark.parametrize(
    "payload",
    [b"", b"\x80\x04.", b"[]", b"{}", b'{"passages": [[1]], "events": []}', b'{"passages": [], "events": []}'],
)
def test_bytes_that_are_no_result_are_refused(payload: bytes) -> None:
    for decode in (decode_events, decode_embeddings, lambda data: decode_retrieved(data, Trace())):
        with pytest.raises(DECODING_ERRORS):
            decode(payload)
