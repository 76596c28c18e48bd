"""`ragserve bench understanding`: what decomposition, further wordings and filters of a question are worth."""

import asyncio
import math
import random
from collections.abc import Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

from deployments.generator import InlineGenerator
from models.deadline import Deadline
from models.generation.extractive import ExtractiveConfig, ExtractiveModel
from models.generation.follow_up import search_query
from models.generation.words import words
from models.types.generation import ChatMessage
from models.types.request_context import RequestContext
from models.types.scope import DEFAULT_TENANT, Scope
from serve.cli.driver.offline_retrieval import OfflineRetrieval
from serve.cli.driver.offline_search import TOP_K, OfflineSearch
from serve.cli.driver.question_set import QuestionSet, query_rows, read_question_set
from serve.pipelines.answering import Answered, Answering, Query
from serve.pipelines.declining_generation import DecliningGeneration
from serve.pipelines.decomposed_answering import DecomposedAnswering
from serve.pipelines.merged_retrieval import MultiQueryRetrieval
from serve.pipelines.query import QueryConfig, QueryPipeline, QueryStages
from serve.pipelines.retrieving import RetrievalQuery, Retrieving
from serve.pipelines.understanding import UnderstandingConfig
from serve.pipelines.weighed_retrieval import WeighedRetrieval

SEED = 11
SCOPE = Scope(DEFAULT_TENANT, ("bench",))
CONTEXT = RequestContext("bench", DEFAULT_TENANT, Deadline.never())
ON = UnderstandingConfig(decomposition=True, multi_query=True)


@dataclass(frozen=True)
class Pair:
    """Two questions with different documents, joined to one, and the known answers of each."""

    text: str
    answers: tuple[tuple[str, ...], tuple[str, ...]]


def run(folders: Sequence[Path], num_questions: int, max_documents: int) -> Iterator[str]:
    """A Markdown table of each part."""
    search, sets = OfflineSearch(), [_read(folder, max_documents) for folder in folders]
    retrievals = [OfflineRetrieval(search, search.corpus(each.documents)) for each in sets]
    yield '| pairs joined by "and" | number | split | first answered | second answered | both |'
    yield "|---|---|---|---|---|---|"
    for own, retrieval in zip(sets, retrievals, strict=True):
        if own.answers:
            yield from _pairs_rows(own.name, pairs(own, num_questions), retrieval)
    yield ""
    yield f"| nDCG@{TOP_K} | questions | the question | and its keywords |"
    yield "|---|---|---|---|"
    for own, folder, retrieval in zip(sets, folders, retrievals, strict=True):
        yield _keywords_row(own, _asked(own, folder), retrieval, num_questions)


def pairs(own: QuestionSet, number: int) -> list[Pair]:
    """Questions with answers, in an order with a fixed seed, two by two; two of one document are left out."""
    chosen = [query_id for query_id in own.queries if own.answers.get(query_id)]
    random.Random(SEED).shuffle(chosen)
    both = zip(chosen[::2], chosen[1::2], strict=False)
    different = ((first, second) for first, second in both if own.qrels[first].keys().isdisjoint(own.qrels[second]))
    joined = (
        Pair(_joined(own.queries[first], own.queries[second]), (own.answers[first], own.answers[second]))
        for first, second in different
    )
    return list(joined)[:number]


def ndcg(ranking: Sequence[str], relevant: dict[str, int]) -> float:
    """With linear gains, as trec_eval, at the length of TOP_K."""
    gains = [max(0, relevant.get(document_id, 0)) for document_id in ranking[:TOP_K]]
    ideal = sorted((max(0, grade) for grade in relevant.values()), reverse=True)[:TOP_K]
    return _dcg(gains) / _dcg(ideal) if any(ideal) else 0.0


def _dcg(gains: Sequence[int]) -> float:
    return sum(gain / math.log2(rank + 1) for rank, gain in enumerate(gains, 1))


def _joined(first: str, second: str) -> str:
    first_word, _, end = second.partition(" ")
    return f"{first.rstrip(' ?')} and {first_word.lower()} {end}"


def _pairs_rows(name: str, compound: Sequence[Pair], retrieval: OfflineRetrieval) -> Iterator[str]:
    quoting = InlineGenerator(ExtractiveModel("extractive", ExtractiveConfig()))
    config = QueryConfig(passage_order="relevance")
    generator = DecliningGeneration(quoting, config.min_evidence)
    whole: Answering = QueryPipeline(QueryStages(WeighedRetrieval(retrieval), generator, quoting), config)
    for title, answering in (("whole", whole), ("in parts", DecomposedAnswering(whole, ON, _quotes))):
        answers = [asyncio.run(_answer(answering, pair.text)) for pair in compound]
        hits = [
            tuple(_has_any(answered.text, golds) for golds in pair.answers)
            for pair, answered in zip(compound, answers, strict=True)
        ]
        split = sum(bool(answered.trace.searches) for answered in answers) / len(compound)
        shares = [sum(hit[0] for hit in hits), sum(hit[1] for hit in hits), sum(map(all, hits))]
        figures = " | ".join(f"{100 * share / len(compound):.1f} %" for share in shares)
        yield f"| {name}, {title} | {len(compound)} | {100 * split:.0f} % | {figures} |"


async def _quotes() -> bool:
    return True


async def _answer(answering: Answering, text: str) -> Answered:
    query = Query((ChatMessage("user", text),), SCOPE, TOP_K)
    async with aclosing(answering.answer(query, CONTEXT)) as events:
        async for event in events:
            if isinstance(event, Answered):
                return event
    raise AssertionError("the query pipeline ends with Answered or raises")


def _has_any(text: str, golds: Sequence[str]) -> bool:
    plain = f" {' '.join(words(text))} "
    return any(f" {' '.join(words(gold))} " in plain for gold in golds)


def _asked(own: QuestionSet, folder: Path) -> dict[str, str]:
    """What is searched for each question: a follow-up with the words of the question before it."""
    present = {document.document_id for document in own.documents}
    rows = {row["_id"]: row for row in query_rows(folder)}
    texts = {query_id: _searched(rows[query_id]) for query_id in own.queries}
    return {query_id: text for query_id, text in texts.items() if present & own.qrels[query_id].keys()}


def _searched(row: dict[str, object]) -> str:
    messages = row.get("messages")
    if not isinstance(messages, list):
        return str(row["text"])
    return search_query([ChatMessage(message["role"], message["content"]) for message in messages])


def _keywords_row(own: QuestionSet, questions: dict[str, str], retrieval: OfflineRetrieval, number: int) -> str:
    chosen = random.Random(SEED).sample(sorted(questions), min(number, len(questions)))
    means = []
    for retrieving in (retrieval, MultiQueryRetrieval(retrieval, ON)):
        scores = [ndcg(asyncio.run(_ranking(retrieving, questions[key])), own.qrels[key]) for key in chosen]
        means.append(sum(scores) / len(scores))
    return f"| {own.name} | {len(chosen)} | {means[0]:.3f} | {means[1]:.3f} |"


async def _ranking(retrieving: Retrieving, text: str) -> list[str]:
    retrieved = await retrieving.retrieve(RetrievalQuery(text, SCOPE, TOP_K), CONTEXT)
    return list(dict.fromkeys(passage.file_id for passage in retrieved.passages))


def _read(folder: Path, max_documents: int) -> QuestionSet:
    """The first documents, with the questions that they answer."""
    own = read_question_set(folder)
    documents = own.documents[:max_documents]
    present = {document.document_id for document in documents}
    judged = {
        key: {name: grade for name, grade in grades.items() if name in present} for key, grades in own.qrels.items()
    }
    queries = {key: text for key, text in own.queries.items() if max(judged[key].values(), default=0) > 0}
    return QuestionSet(own.name, documents, queries, judged, own.left_out, own.answers)
