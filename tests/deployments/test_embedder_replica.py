"""The embedder's replica as a plain object: forward passes shared by calls, generations, dimensions, token counts."""

import asyncio
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deployments.embedder import Embedder, InputsCall
from models.catalog import Catalog
from models.embedding.hashing_model import HashingConfig, HashingModel
from models.embedding.offline import embed_documents
from models.errors.configuration import ConfigError, ModelNotFoundError
from models.errors.requests import ConflictError, InvalidRequestError
from models.errors.stages import DeadlineExceededError
from models.index.token_codec import encode_tokens
from models.types.arrays import FloatArray
from models.types.stage_results import Embeddings
from tests.contexts import envelope
from tests.patience import PATIENCE_S
from tests.token_hashing import TokenHashingModel

ENVELOPE = envelope(PATIENCE_S)
CATALOG = """
embedding:
  hashing-64: {kind: hashing, licence: Apache-2.0, options: {dim: 64}}
  hashing-32: {kind: hashing, licence: Apache-2.0, options: {dim: 32}}
"""


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    path = tmp_path / "catalog.yaml"
    path.write_text(CATALOG)
    return Catalog.open(path)


async def embedder(catalog: Catalog, **user_config: Any) -> Embedder:
    replica = Embedder(catalog)
    await replica.reconfigure({"model": "hashing-64"} | user_config)
    return replica


def expected(texts: list[str], dim: int = 64) -> FloatArray:
    return embed_documents(HashingModel(f"hashing-{dim}", HashingConfig(dim=dim)), texts)


def texts_of(*num_words: int) -> list[str]:
    return [" ".join(f"word{place}x{number}" for number in range(count)) for place, count in enumerate(num_words)]


async def test_vectors_do_not_depend_on_batching(catalog: Catalog) -> None:
    texts = texts_of(3, 90, 0, 1, 40, 17, 300, 2)

    for knobs in ({}, {"max_batch_tokens": 64}, {"max_batch_size": 1}):
        embedded = await (await embedder(catalog, **knobs)).embed_documents(texts, None, ENVELOPE)
        np.testing.assert_array_equal(embedded.vectors, expected(texts))


async def test_concurrent_calls_get_their_own_vectors(catalog: Catalog) -> None:
    replica, calls = await embedder(catalog), [texts_of(*range(first, first + 5)) for first in range(1, 20)]

    embedded = await asyncio.gather(*(replica.embed_inputs(InputsCall(call, True), ENVELOPE) for call in calls))

    for call, answer in zip(calls, embedded, strict=True):
        np.testing.assert_array_equal(answer.vectors, expected(call))


async def test_a_whole_document_is_embedded_in_order(catalog: Catalog) -> None:
    texts = [f"chunk{number} of a document" for number in range(500)]

    embedded = await (await embedder(catalog)).embed_documents(texts, None, ENVELOPE)

    np.testing.assert_array_equal(embedded.vectors, expected(texts))


async def test_tokens_are_counted_with_the_special_ones(catalog: Catalog) -> None:
    embedded = await (await embedder(catalog)).embed_inputs(InputsCall(["one two three", [5, 6]], False), ENVELOPE)

    assert embedded.num_tokens == (1 + 3) + (1 + 2)
    assert (embedded.model, embedded.generation) == ("hashing-64", "hashing-64@64")


async def test_no_texts_make_a_matrix_of_no_rows(catalog: Catalog) -> None:
    embedded = await (await embedder(catalog)).embed_documents([], None, ENVELOPE)

    assert embedded.vectors.shape == (0, 64)
    assert embedded.num_tokens == 0


async def test_dimensions_that_the_model_lacks_are_refused_with_those_it_has(catalog: Catalog) -> None:
    replica = await embedder(catalog)

    assert (await replica.embed_inputs(InputsCall(["a"], True, None, 64), ENVELOPE)).vectors.shape == (1, 64)
    with pytest.raises(InvalidRequestError, match="hashing-64 has vectors of 64 dimensions, not 48") as caught:
        await replica.embed_inputs(InputsCall(["a"], True, None, 48), ENVELOPE)
    assert caught.value.param == "dimensions"


async def test_vectors_are_cut_to_the_dimensions_and_of_unit_length_again(catalog: Catalog) -> None:
    replica = await embedder(catalog)
    replica._slot.serving.dims = (16, 64)  # as a Matryoshka model's

    cut = await replica.embed_inputs(InputsCall(["how do I get my money back"], True, None, 16), ENVELOPE)

    whole = expected(["how do I get my money back"])[:, :16]
    np.testing.assert_allclose(cut.vectors, whole / np.linalg.norm(whole), rtol=1e-6)
    assert cut.num_tokens == 8


async def test_unknown_token_ids_fail_their_own_call_alone(catalog: Catalog) -> None:
    replica = await embedder(catalog)

    good, bad = await asyncio.gather(
        replica.embed_inputs(InputsCall([[5, 6]], False), ENVELOPE),
        replica.embed_inputs(InputsCall([[5, 10_000]], False), ENVELOPE),
        return_exceptions=True,
    )

    assert not isinstance(good, BaseException)
    assert isinstance(bad, InvalidRequestError)


async def test_a_call_without_time_left_is_not_computed(catalog: Catalog) -> None:
    replica = await embedder(catalog)

    with pytest.raises(DeadlineExceededError):
        await replica.embed_inputs(InputsCall(["late"], True), envelope(0.0))

    assert replica._batcher.counts.num_passes == 0


async def test_a_call_embeds_in_the_generation_that_it_asks_for(catalog: Catalog) -> None:
    replica, texts = await embedder(catalog), texts_of(4)

    now, other = await asyncio.gather(
        replica.embed_inputs(InputsCall(texts, True), ENVELOPE),
        replica.embed_inputs(InputsCall(texts, True, "hashing-32@32"), ENVELOPE),
    )

    np.testing.assert_array_equal(now.vectors, expected(texts))
    np.testing.assert_array_equal(other.vectors, expected(texts, 32))
    with pytest.raises(ConflictError, match="no model has"):
        await replica.embed_inputs(InputsCall(texts, True, "hashing-32@48"), ENVELOPE)
    with pytest.raises(ModelNotFoundError):
        await replica.embed_inputs(InputsCall(texts, True, "gone@1"), ENVELOPE)


async def test_unknown_knobs_are_refused(catalog: Catalog) -> None:
    with pytest.raises(ConfigError, match="max_texts_per_pass"):
        await embedder(catalog, max_texts_per_pass=8)
    with pytest.raises(ConfigError, match="max_batch_tokens"):
        await embedder(catalog, max_batch_tokens=1)


async def test_a_healthy_replica_stays_so_when_its_queue_is_full(catalog: Catalog) -> None:
    replica = await embedder(catalog, max_queued_tokens=64)
    document = asyncio.create_task(replica.embed_documents(texts_of(*[200] * 200), None, ENVELOPE))
    async with asyncio.timeout(PATIENCE_S):
        while not replica._batcher.num_queued_tokens:  # noqa: ASYNC110, it has no event for it
            await asyncio.sleep(0)

    await replica.check_health()

    assert len((await document).vectors) == 200
    await replica.check_health()


async def test_a_new_model_takes_over_and_the_old_one_still_embeds_for_its_generation(catalog: Catalog) -> None:
    replica, texts = await embedder(catalog), texts_of(5)
    old = replica._slot.serving

    await replica.reconfigure({"model": "hashing-32"})
    await replica._slot.until_settled()

    status = await replica.status()
    assert (status.model, status.generation) == ("hashing-32", "hashing-32@32")
    now = await replica.embed_inputs(InputsCall(texts, True), ENVELOPE)
    before = await replica.embed_inputs(InputsCall(texts, True, old.generation), ENVELOPE)
    np.testing.assert_array_equal(now.vectors, expected(texts, 32))
    np.testing.assert_array_equal(before.vectors, expected(texts))
    assert await replica._model_of(old.generation) is old


async def test_a_model_that_does_not_load_leaves_the_old_one(catalog: Catalog) -> None:
    replica = await embedder(catalog)

    await replica.reconfigure({"model": "gone"})
    await replica._slot.until_settled()

    status = await replica.status()
    assert (status.model, status.generation) == ("hashing-64", "hashing-64@64")
    assert "no model named 'gone'" in status.error
    np.testing.assert_array_equal(
        (await replica.embed_inputs(InputsCall(["still"], True), ENVELOPE)).vectors, expected(["still"])
    )


async def test_there_is_no_canary_of_a_vector_space(catalog: Catalog) -> None:
    with pytest.raises(ConfigError, match="canary"):
        await embedder(catalog, canary={"model": "hashing-32", "share": 0.1})


async def test_a_message_of_small_calls_is_computed_as_one_and_taken_apart(catalog: Catalog) -> None:
    replica = await embedder(catalog)
    calls = [InputsCall(texts_of(2, 3), True), InputsCall([], True), InputsCall(texts_of(5), True, None, 64)]

    first, none, cut = await replica.embed_batch(calls, [ENVELOPE] * 3)

    np.testing.assert_array_equal(first.vectors, expected(texts_of(2, 3)))
    assert none.vectors.shape == (0, 64)
    assert cut.vectors.shape == (1, 64)
    assert (first.num_tokens, none.num_tokens, cut.num_tokens) == (7, 0, 6)  # a text has one special token
    assert replica._batcher.counts.num_passes == 1


async def test_the_calls_of_each_tenant_in_a_message_share_a_pass(catalog: Catalog) -> None:
    replica = await embedder(catalog)
    calls = [InputsCall(texts_of(number), True) for number in (2, 3, 4, 5)]
    tenants = [replace(ENVELOPE, tenant=tenant) for tenant in ("a", "b", "a", "b")]

    answers = await replica.embed_batch(calls, tenants)

    for call, answer in zip(calls, answers, strict=True):
        np.testing.assert_array_equal(answer.vectors, expected(call.inputs))
    assert replica._batcher.counts.num_passes <= 2


async def test_a_bad_call_fails_alone_in_its_message(catalog: Catalog) -> None:
    replica = await embedder(catalog)
    calls = [InputsCall(["good"], True), InputsCall([[10_000]], True), InputsCall(["good"], True, "gone@1")]

    good, bad, gone = await replica.embed_batch(calls, [ENVELOPE] * 3)

    np.testing.assert_array_equal(good.vectors, expected(["good"]))
    assert isinstance(bad, InvalidRequestError)
    assert isinstance(gone, ModelNotFoundError)


TOKENS_CATALOG = """
embedding:
  with-tokens: {kind: tests.token_hashing:TokenHashingModel, licence: Apache-2.0, options: {dim: 64}}
  without: {kind: hashing, licence: Apache-2.0, options: {dim: 64}}
"""
WITH_TOKENS = TokenHashingModel("with-tokens", HashingConfig(dim=64))


@pytest.fixture
async def token_embedder(tmp_path: Path) -> Embedder:
    path = tmp_path / "tokens.yaml"
    path.write_text(TOKENS_CATALOG)
    return await embedder(Catalog.open(path), model="with-tokens")


def query_call(text: str) -> InputsCall:
    return InputsCall([text], True, with_tokens=True)


async def test_documents_come_with_the_codes_of_their_token_vectors_on_request(token_embedder: Embedder) -> None:
    texts = texts_of(3, 40, 0, 1)

    coded = await token_embedder.embed_documents(texts, None, ENVELOPE, True)
    plain = await token_embedder.embed_documents(texts, None, ENVELOPE)

    outputs = WITH_TOKENS.forward_tokens(WITH_TOKENS.tokenize_documents(texts))
    assert coded.token_codes == tuple(encode_tokens(output.tokens) for output in outputs)
    np.testing.assert_array_equal(coded.vectors, plain.vectors)
    assert (coded.num_tokens, plain.token_codes) == (plain.num_tokens, ())
    assert (await token_embedder.embed_documents([], None, ENVELOPE, True)).vectors.shape == (0, 64)


async def test_each_query_of_a_message_comes_with_its_own_token_vectors(token_embedder: Embedder) -> None:
    queries = ["How hot is the oven?", "bread", "oven, oven"]

    answers = await token_embedder.embed_batch([query_call(query) for query in queries], [ENVELOPE] * 3)

    for query, answer in zip(queries, answers, strict=True):
        assert isinstance(answer, Embeddings)
        (expected,) = WITH_TOKENS.forward_tokens(WITH_TOKENS.tokenize_queries([query]))
        np.testing.assert_array_equal(answer.vectors, expected.vector[np.newaxis])
        np.testing.assert_array_equal(answer.query_tokens, expected.tokens)
        assert [query[start:end] for start, end in answer.query_spans] == re.findall(r"\w+", query)
        assert answer.num_tokens == 1 + len(expected.tokens)


async def test_calls_with_and_without_tokens_may_share_a_message(token_embedder: Embedder) -> None:
    message = [query_call("oven"), InputsCall(["oven"], True), InputsCall(["oven", "bread"], False)]

    answers = await token_embedder.embed_batch(message, [ENVELOPE] * 3)

    assert [isinstance(answer, Embeddings) and answer.query_tokens is not None for answer in answers] == [
        True,
        False,
        False,
    ]


async def test_a_model_without_token_vectors_ignores_the_request_for_them(tmp_path: Path) -> None:
    path = tmp_path / "tokens.yaml"
    path.write_text(TOKENS_CATALOG)
    replica = await embedder(Catalog.open(path), model="without")

    query = await replica.embed_inputs(query_call("oven"), ENVELOPE)
    documents = await replica.embed_documents(["oven"], None, ENVELOPE, True)

    assert (query.query_tokens, query.query_spans, documents.token_codes) == (None, None, ())
