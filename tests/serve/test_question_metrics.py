"""The metrics of questions: stages and overhead add up to the question, a tenant's cost to its requests."""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families

from models.types.generation import CompletionRequest
from serve.pipelines.metered_stages import MeteredCompletions
from serve.pipelines.metering import CostConfig, Metering, Price
from serve.pipelines.trace import longest_path
from serve.settings import ApiConfig, Settings
from tests.contexts import within
from tests.inline import ExtractiveGenerator, InlineEmbedder, ShortestFirst
from tests.serve.test_live_services import serving

QUESTION = {"query": "How hot does the oven get?"}
STATUSES = {"embed": InlineEmbedder(), "rerank": ShortestFirst(), "generate": ExtractiveGenerator()}


def total(name: str, **labels: str) -> float:
    """The sum of the samples that have these labels."""
    return sum(
        sample.value
        for family in REGISTRY.collect()
        for sample in family.samples
        if sample.name == f"ragserve_{name}" and labels.items() <= sample.labels.items()
    )


MESSAGES = [{"role": "user", "content": QUESTION["query"]}]
FILE_SEARCH = {"type": "file_search", "vector_store_ids": ["default"]}
STREAMS: dict[str, dict[str, Any]] = {
    "/v1/query": QUESTION,
    "/v1/chat/completions": {"model": "ragserve", "messages": MESSAGES, "vector_store_ids": ["default"]},
    "/v1/responses": {"model": "ragserve", "input": QUESTION["query"], "tools": [FILE_SEARCH]},
}


@pytest.mark.parametrize("path", STREAMS)
async def test_the_stages_of_a_streamed_answer_add_up_with_the_generator_among_them(tmp_path: Path, path: str) -> None:
    async with serving(tmp_path, statuses=STATUSES) as (_, http):
        names = ("question_seconds", "question_stage_seconds")
        before = {name: total(f"{name}_sum") for name in names}
        generated_s, num_questions = (
            total("question_stage_seconds_sum", stage="generate"),
            total("question_seconds_count"),
        )
        events = (await http.post(path, json=STREAMS[path] | {"stream": True})).text

    questions_s, stages_s = (total(f"{name}_sum") - before[name] for name in names)
    assert "250 degrees" in events
    assert total("question_seconds_count") == num_questions + 1
    assert stages_s == pytest.approx(questions_s, abs=1e-6)
    assert 0 < total("question_stage_seconds_sum", stage="generate") - generated_s < questions_s


async def test_a_questions_candidates_are_tokens_and_cost_of_its_tenant(tmp_path: Path) -> None:
    settings = Settings(costs=CostConfig(prices={"shortest-first": Price(input=1_000)}))
    labels = {"tenant": "default", "model": "shortest-first"}
    async with serving(tmp_path, settings, statuses=STATUSES) as (_, http):
        before = total("tenant_tokens_total", kind="reranking", **labels), total("tenant_cost_total", **labels)
        answer = await http.post("/v1/query", json=QUESTION)

    num_tokens = total("tenant_tokens_total", kind="reranking", **labels) - before[0]
    assert answer.json()["models"]["rerank"] == "shortest-first"
    assert num_tokens > 0
    assert total("tenant_cost_total", **labels) - before[1] == pytest.approx(num_tokens / 1_000)


async def test_stages_and_overhead_add_up_to_the_questions(tmp_path: Path) -> None:
    async with serving(tmp_path) as (_, http):
        before_s, stages_before_s = total("question_seconds_sum"), total("question_stage_seconds_sum")
        embed_s, overhead_s = (total("question_stage_seconds_sum", stage=stage) for stage in ("embed", "overhead"))
        bodies = [(await http.post("/v1/query", json=QUESTION | {"mode": mode})).json() for mode in ("dense", "hybrid")]

    questions_s = total("question_seconds_sum") - before_s
    stages_s = total("question_stage_seconds_sum") - stages_before_s
    assert stages_s == pytest.approx(questions_s, abs=1e-6)
    assert 0 < total("question_stage_seconds_sum", stage="overhead") - overhead_s < questions_s
    assert total("question_stage_seconds_sum", stage="embed") - embed_s > 0
    assert sum(body["timings"]["total"] for body in bodies) <= questions_s


async def test_a_greeting_is_no_declined_question_and_has_no_evidence(tmp_path: Path) -> None:
    names = ("question_seconds_count", "evidence_count", "retrieved_passages_count")
    async with serving(tmp_path) as (_, http):
        before = [total(name) for name in names]
        declined, greeted = (total("question_seconds_count", outcome=name) for name in ("declined", "small_talk"))
        answer = (await http.post("/v1/query", json={"query": "Hello!"})).json()

    assert answer["answerable"] is False
    assert [total(name) for name in names] == [before[0] + 1, before[1], before[2]]
    assert total("question_seconds_count", outcome="declined") == declined
    assert total("question_seconds_count", outcome="small_talk") == greeted + 1


def test_the_longest_path_has_the_slower_search_and_never_more_than_the_question() -> None:
    timings = {"embed": 1.0, "dense": 2.0, "lexical": 2.5, "fuse": 0.5, "rerank": 4.0, "generate": 3.0, "total": 99.0}

    assert longest_path(timings, 12.0) == {
        "embed": 1.0, "dense": 2.0, "fuse": 0.5, "rerank": 4.0, "generate": 3.0, "overhead": 1.5
    }  # fmt: skip
    assert longest_path(timings | {"lexical": 3.5}, 12.0)["lexical"] == 3.5
    assert sum(longest_path(timings, 5.0).values()) == 5.0
    assert longest_path({}, 1.0) == {"overhead": 1.0}


def keys_file(folder: Path, *tenants: str) -> Path:
    path = folder / "keys.yaml"
    path.write_text("".join(f"{name}: [{hashlib.sha256(name.encode()).hexdigest()}]\n" for name in tenants))
    return path


async def ask(http: httpx.AsyncClient, tenant: str, texts: list[str]) -> tuple[int, int]:
    """Embed and complete as the tenant; the tokens that the answers report: read, and written."""
    headers = {"authorization": f"Bearer {tenant}"}
    embedded = await http.post("/v1/embeddings", json={"model": "hashing", "input": texts}, headers=headers)
    chat = {"model": "extractive", "messages": [{"role": "user", "content": f"Context:\n{texts[0]}\n\n{texts[0]}?"}]}
    answered = await http.post("/v1/chat/completions", json=chat, headers=headers)
    usage = answered.json()["usage"]
    return embedded.json()["usage"]["prompt_tokens"] + usage["prompt_tokens"], usage["completion_tokens"]


async def test_a_tenants_cost_adds_up_to_its_requests(tmp_path: Path) -> None:
    prices = {"hashing": Price(input=1_000), "extractive": Price(input=1_000, output=3_000)}
    settings = Settings(
        api=ApiConfig(keys_file=keys_file(tmp_path, "acme", "globex")),
        costs=CostConfig(prices=prices, monthly_budgets={"acme": 100.0}),
    )
    async with serving(tmp_path, settings, statuses=STATUSES) as (_, http):
        for tenant, texts in (("acme", ["Ovens are hot.", "Ice is cold."]), ("globex", ["Dogs bark."])):
            before = total("tenant_cost_total", tenant=tenant)
            num_read, num_written = await ask(http, tenant, texts)

            assert num_read
            assert total("tenant_cost_total", tenant=tenant) - before == pytest.approx(
                (num_read + 3 * num_written) / 1_000
            )

    assert total("tenant_monthly_budget", tenant="acme") == 100.0


async def chunks_of(options: dict[str, Any]) -> list[dict[str, Any]]:
    """The stream of a completion, metered for the tenant `streaming`."""
    stage = MeteredCompletions(ExtractiveGenerator(), Metering(CostConfig()))
    prompt = "Context:\nThe oven heats to 250 degrees.\n\nQuestion: How hot does the oven get?"
    body = {"model": "extractive", "stream": True, "messages": [{"role": "user", "content": prompt}], **options}
    context = replace(within(60), tenant="streaming")
    return [chunk async for chunk in stage.complete(CompletionRequest("req_1", "chat", body), context)]


async def test_a_stream_is_metered_and_shows_no_usage_that_was_not_asked_for() -> None:
    plain = await chunks_of({})
    num_tokens = total("tenant_tokens_total", tenant="streaming")
    requested = await chunks_of({"stream_options": {"include_usage": True}})

    usage = requested[-1]["usage"]
    assert requested[-1]["choices"] == []
    assert not any("usage" in chunk for chunk in plain)
    assert len(plain) == len(requested) - 1
    assert num_tokens == usage["total_tokens"]
    assert total("tenant_tokens_total", tenant="streaming") == 2 * num_tokens


async def test_a_stream_that_its_client_leaves_is_metered_by_its_characters() -> None:
    stage = MeteredCompletions(ExtractiveGenerator(), Metering(CostConfig()))
    prompt = "Context:\nThe oven heats to 250 degrees.\n\nQuestion: How hot does the oven get?"
    body = {"model": "extractive", "stream": True, "messages": [{"role": "user", "content": prompt}]}
    chunks = stage.complete(CompletionRequest("req_1", "chat", body), replace(within(60), tenant="leaving"))

    await anext(chunks)
    await chunks.aclose()

    assert total("tenant_tokens_total", tenant="leaving", kind="prompt") >= len(prompt) // 4
    assert total("tenant_tokens_total", tenant="leaving", kind="completion") > 0


async def test_metrics_are_served_in_prometheus_text_format(tmp_path: Path) -> None:
    async with serving(tmp_path) as (_, http):
        await http.post("/v1/query", json=QUESTION)
        text = (await http.get("/metrics")).text

    families = {family.name for family in text_string_to_metric_families(text)}
    assert {"ragserve_question_seconds", "ragserve_question_stage_seconds", "ragserve_evidence"} <= families
