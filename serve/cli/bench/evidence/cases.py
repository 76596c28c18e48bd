"""Questions with the features of their evidence, and whether the documents answer them."""

import gzip
import json
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import permutations
from pathlib import Path
from typing import Any, Literal

from models.generation.evidence import Features, probability, read_features
from serve.cli.driver.offline_search import ALIAS, OfflineCorpus, OfflineHits, OfflineSearch
from serve.cli.driver.question_set import QuestionSet, read_question_set

SEED = 5
Kind = Literal["answerable", "unanswerable", "off topic"]


@dataclass(frozen=True)
class CaseSizes:
    """Questions of a set over its own documents, and over those of each other set; documents of a set."""

    num_questions: int
    num_off_topic: int
    max_documents: int


@dataclass(frozen=True)
class Case:
    """A question of one set asked over another, or the same, with its features.

    `first_ms` is the CPU time to estimate its evidence, `again_ms` that of a second time: the passages are read then.
    """

    questions: str
    corpus: str
    kind: Kind
    features: Features
    first_ms: float = 0.0
    again_ms: float = 0.0


@dataclass(frozen=True)
class LabelledSet:
    """A set's name, its documents, and its questions in an order with a fixed seed."""

    name: str
    questions: QuestionSet
    labelled: list[tuple[str, Kind]]


def read_cases(folders: Sequence[Path], sizes: CaseSizes, embedder: str = ALIAS) -> list[Case]:
    """Embeds and searches everything. Takes a minute a thousand chunks."""
    sets, search = [_read(folder, sizes.max_documents) for folder in folders], OfflineSearch(embedder)
    corpora = {each.name: search.corpus(each.questions.documents) for each in sets}
    cases = list[Case]()
    for own in sets:
        cases += _ask(search, corpora, own, own.name, own.labelled[: sizes.num_questions])
    for asking, corpus in permutations(sets, 2):
        later = asking.labelled[sizes.num_questions :] or asking.labelled
        texts: list[tuple[str, Kind]] = [(text, "off topic") for text, _ in later[: sizes.num_off_topic]]
        cases += _ask(search, corpora, asking, corpus.name, texts)
    return cases


def _ask(
    search: OfflineSearch,
    corpora: dict[str, OfflineCorpus],
    asking: LabelledSet,
    corpus: str,
    labelled: Sequence[tuple[str, Kind]],
) -> Iterator[Case]:
    embeddings = search.questions([text for text, _ in labelled])
    for (text, kind), embedding in zip(labelled, embeddings, strict=True):
        hits = corpora[corpus].search(text, embedding)
        estimate = partial(_estimate, text, hits)
        features, first_ms = estimate()
        yield Case(asking.name, corpus, kind, features, first_ms, estimate()[1])


def _estimate(text: str, hits: OfflineHits) -> tuple[Features, float]:
    """The features, and the CPU time in milliseconds for them and the evidence."""
    start = time.thread_time()
    features = read_features(text, hits.passages, hits.term_weights, hits.sentence_scores, hits.signals)
    probability(features)
    return features, 1000 * (time.thread_time() - start)


def _read(folder: Path, max_documents: int) -> LabelledSet:
    """Only questions that stand alone: those of a conversation are for `ragserve bench followups`."""
    questions = read_question_set(folder)
    documents = questions.documents[:max_documents]
    present = {document.document_id for document in documents}
    labelled = [(row["text"], _kind(row)) for row in _rows(folder) if _stands_alone(row, questions, present)]
    random.Random(SEED).shuffle(labelled)
    return LabelledSet(questions.name, QuestionSet(questions.name, documents, {}, {}, questions.left_out), labelled)


def _stands_alone(row: dict[str, Any], questions: QuestionSet, present: set[str]) -> bool:
    if len(row.get("messages") or ()) > 1:
        return False
    relevant = questions.qrels.get(row["_id"], {})
    return _kind(row) == "unanswerable" or (bool(relevant) and relevant.keys() <= present)


def _kind(row: dict[str, Any]) -> Kind:
    return "answerable" if row.get("answerability", "ANSWERABLE") in ("ANSWERABLE", "PARTIAL") else "unanswerable"


def _rows(folder: Path) -> list[dict[str, Any]]:
    path = folder / "queries.jsonl.gz"
    content = gzip.decompress(path.read_bytes()) if path.exists() else (folder / "queries.jsonl").read_bytes()
    return [json.loads(line) for line in content.splitlines() if line.strip()]
