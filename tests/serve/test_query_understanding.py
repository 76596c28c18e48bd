"""Compound questions, other wordings, made-up passages and filters, through the whole application without Ray."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from models.catalog import Catalog
from models.types.generation import CompletionRequest, GenerationDelta, GenerationRequest
from models.types.request_context import RequestContext
from models.types.scope import Scope
from serve.live_services import LiveServices
from serve.pipelines.query import QueryConfig
from serve.pipelines.understanding import UnderstandingConfig
from serve.settings import Settings
from tests.inline import ExtractiveGenerator, ingest, inline_clients, open_corpus

FILES: dict[str, tuple[bytes, dict[str, Any]]] = {
    "pump.md": (b"# Pump\n\nThe guarantee of the pump lasts 36 months. The pump weighs 40 kg.\n", {"year": 2023}),
    "late.md": (b"# Lateness\n\nThe fine for late service is 3 percent a week.\n", {"year": 2024}),
    "HR handbook.md": (b"# Staff\n\nNew staff get 30 days of leave and one locker.\n", {"department": "HR"}),
    "yard.md": (b"# Yard\n\nStaff leave by the north gate. The gate opens at 6:30.\n", {"department": "Works"}),
}
COMPOUND = "What is the fine for late service and how long does the guarantee of the pump last?"


class Writing(ExtractiveGenerator):
    """Quotes as an answer, and writes the same text whenever it is asked for another."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text, self.prompts = text, list[str]()

    async def complete(
        self, request: CompletionRequest, context: RequestContext
    ) -> AsyncGenerator[dict[str, Any], None]:
        self.prompts.append(request.body["messages"][0]["content"])
        yield {"choices": [{"message": {"content": self.text}, "finish_reason": "stop"}]}

    def stream(self, request: GenerationRequest, context: RequestContext) -> AsyncGenerator[GenerationDelta, None]:
        return super().stream(request, context)


@asynccontextmanager
async def serving(
    folder: Path, understanding: UnderstandingConfig | None = None, text: str = ""
) -> AsyncIterator[tuple[Callable[..., Any], Writing]]:
    """A function that posts a request and returns its JSON, and the language model."""
    corpus, model = open_corpus(folder), Writing(text)
    for name, (content, attributes) in FILES.items():
        file_id = await ingest(corpus, name, content)
        corpus.store_files.set_attributes("default", "default", file_id, attributes)
    query = QueryConfig(understanding=understanding or UnderstandingConfig(), decline=True)
    clients = inline_clients(corpus)
    clients = replace(clients, generator=model, statuses={**clients.statuses, "generate": model})
    live = LiveServices(Settings(query=query), Catalog.open(None), corpus, clients)
    async with live.app.router.lifespan_context(live.app):
        transport = httpx.ASGITransport(app=live.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://ragserve") as http:

            async def post(path: str, **body: Any) -> Any:
                return (await http.post(path, json=body)).json()

            yield post, model


async def test_a_question_is_searched_once_and_as_it_is_on_request(tmp_path: Path) -> None:
    async with serving(tmp_path) as (post, model):
        body = await post("/v1/query", query=COMPOUND, query_understanding={"decomposition": False})

    assert (body["searches"], body["search_query"], model.prompts) == ([], COMPOUND, [])


@pytest.mark.parametrize(("route", "is_default"), [("query", True), ("query", False), ("chat", True)])
async def test_a_compound_question_is_answered_in_parts(tmp_path: Path, route: str, is_default: bool) -> None:
    choice = dict[str, Any]() if is_default else {"query_understanding": {"decomposition": True}}
    async with serving(tmp_path) as (post, _):
        if route == "query":
            body = await post("/v1/query", query=COMPOUND, **choice)
            answer = body["answer"]
        else:
            messages = [{"role": "user", "content": COMPOUND}]
            body = await post("/v1/chat/completions", messages=messages, **choice)
            answer = body["choices"][0]["message"]["content"]

    first, second = answer.split("\n\n")[0], answer.split("\n\n")[-1]
    assert "3 percent a week. [1]" in first
    assert "36 months." in second
    assert [search["kind"] for search in body["searches"]] == ["part", "part"]
    assert body["searches"][1]["query"] == "how long does the guarantee of the pump last?"
    quotes = {citation["id"]: citation["quote"] for citation in body["citations"]}
    assert sorted(quotes) == list(range(1, len(quotes) + 1))
    assert "The fine for late service is 3 percent a week." in quotes.values()
    assert "The guarantee of the pump lasts 36 months." in quotes.values()
    assert body["answerable"]


async def test_a_part_without_an_answer_is_named(tmp_path: Path) -> None:
    question = "What is the fine for late service and who composed the opera Fidelio?"
    async with serving(tmp_path) as (post, _):
        body = await post("/v1/query", query=question, query_understanding={"decomposition": True})

    assert "3 percent a week." in body["answer"]
    assert "who composed the opera Fidelio? The documents do not answer this question" in body["answer"]


async def test_without_any_answer_the_whole_question_is_declined(tmp_path: Path) -> None:
    question = "Who composed the opera Fidelio and when was Beethoven baptised?"
    async with serving(tmp_path) as (post, _):
        body = await post("/v1/query", query=question, query_understanding={"decomposition": True})

    assert (body["answerable"], body["citations"], body["search_query"]) == (False, [], question)


async def test_a_language_model_splits_a_compound_question(tmp_path: Path) -> None:
    config = UnderstandingConfig(decomposition=True, model="small")
    written = "What is the fine for late service?\nHow long does the guarantee of the pump last?"
    async with serving(tmp_path, config, written) as (post, model):
        body = await post("/v1/query", query=COMPOUND)
        await post("/v1/query", query="What is the fine?")

    assert [search["query"] for search in body["searches"]] == written.splitlines()
    assert len(model.prompts) == 1


async def test_keywords_are_searched_too_and_an_answer_stays_an_answer(tmp_path: Path) -> None:
    question = "How many days of leave do new staff get?"
    async with serving(tmp_path) as (post, _):
        plain = await post("/v1/query", query=question)
        body = await post("/v1/query", query=question, query_understanding={"multi_query": True})
        found = await post(
            "/v1/vector_stores/default/search", query=question, query_understanding={"multi_query": True}
        )

    assert [search["kind"] for search in body["searches"]] == ["variant"]
    assert body["citations"][0]["quote"] == plain["citations"][0]["quote"]
    assert body["evidence"] is not None
    assert found["searches"] == body["searches"]
    assert found["data"][0]["score"] == 1.0


async def test_a_model_writes_other_wordings_and_a_passage(tmp_path: Path) -> None:
    config = UnderstandingConfig(multi_query=True, hyde=True, model="small")
    question = "How many days of leave do new staff get?"
    async with serving(tmp_path, config, "How many leave days do new staff get?") as (post, model):
        body = await post("/v1/query", query=question)

    assert {search["kind"] for search in body["searches"]} == {"variant", "hypothetical"}
    assert len(model.prompts) == 2
    assert "30 days" in body["answer"]


async def test_hyde_without_a_model_is_refused_by_name(tmp_path: Path) -> None:
    async with serving(tmp_path) as (post, _):
        refused = await post("/v1/query", query="How many?", query_understanding={"hyde": True})
        unknown = await post("/v1/query", query="How many?", query_understanding={"magic": True})
        search = await post(
            "/v1/vector_stores/default/search", query="How many?", query_understanding={"decomposition": True}
        )

    assert refused["error"]["param"] == "query_understanding.hyde"
    assert "query.understanding.model" in refused["error"]["message"]
    assert "magic" in unknown["error"]["message"] or "magic" in unknown["error"]["param"]
    assert "error" in search


def test_hyde_by_default_needs_a_model() -> None:
    with pytest.raises(ValueError, match="set understanding"):
        UnderstandingConfig(hyde=True)


@pytest.mark.parametrize(
    ("question", "filters", "filename"),
    [
        (
            "How do staff leave according to the HR handbook?",
            [{"key": "department", "values": ["HR"]}, {"key": "filename", "values": ["HR handbook.md"]}],
            "HR handbook.md",
        ),
        ("What is the fine or guarantee of 2023?", [{"key": "year", "values": [2023]}], "pump.md"),
    ],
)
async def test_a_question_is_searched_in_the_files_that_it_names(
    tmp_path: Path, question: str, filters: list[Any], filename: str
) -> None:
    async with serving(tmp_path) as (post, _):
        body = await post("/v1/query", query=question, query_understanding={"filters": True})

    assert {passage["filename"] for passage in body["passages"]} == {filename}
    assert body["searches"] == [{"kind": "filtered", "query": question, "filters": filters, "dropped": False}]
    assert body["evidence"] is not None


async def test_a_filter_that_leaves_nothing_is_dropped_and_said(tmp_path: Path) -> None:
    question = "What is the fine for late service of Works in 2024?"
    async with serving(tmp_path) as (post, _):
        body = await post("/v1/query", query=question, query_understanding={"filters": True})

    assert body["searches"][0]["dropped"]
    assert "3 percent a week." in body["answer"]


async def test_new_attributes_count_at_once(tmp_path: Path) -> None:
    corpus = open_corpus(tmp_path)
    file_id = await ingest(corpus, "a.md", b"The mill is old.")

    facets = corpus.views.facets
    assert facets(Scope("default", ("default",))).values == {}
    corpus.store_files.set_attributes("default", "default", file_id, {"year": 2024})
    assert facets(Scope("default", ("default",))).values == {"year": frozenset({2024})}
    assert facets(Scope("other", ("default",))).filenames == frozenset()
    corpus.close()
