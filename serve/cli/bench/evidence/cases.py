"""Questions with the features of their evidence, and whether the documents answer them."""

import gzip
import json
import random
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import permutations
from pathlib import Path
from typing import Any, Literal

from models.generation.evidence import Features, probability, read_features
from serve.cli.driver.offline_search import ALIAS, OfflineCorpus, OfflineHits, OfflineSearch
from serve.cli.driver.question_set import QuestionSet, read_question_set

SEED = 5
MIN_ANSWER_CHARS = 4  # a shorter one, such as "two", is in many passages by chance
Kind = Literal["answerable", "unanswerable", "off topic"]


@dataclass(frozen=True)
class CaseSizes:
    """Questions of a set over its own documents, and over those of each other set; documents of a set.

    `related`: sets with a common source. They answer each other's questions, which so are not off topic.
    """

    num_questions: int
    num_off_topic: int
    max_documents: int
    related: frozenset[str] = frozenset()


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
class LabelledQuestion:
    """A question, whether its own set answers it, and the short answers that the set gives."""

    text: str
    kind: Kind
    answers: tuple[str, ...] = ()


@dataclass(frozen=True)
class LabelledSet:
    """A set's name, its documents, and its questions in an order with a fixed seed."""

    name: str
    questions: QuestionSet
    labelled: list[LabelledQuestion]


def read_cases(folders: Sequence[Path], sizes: CaseSizes, embedder: str = ALIAS) -> list[Case]:
    """Embeds and searches everything. Takes a minute a thousand chunks."""
    sets, search = [_read(folder, sizes.max_documents) for folder in folders], OfflineSearch(embedder)
    corpora = {each.name: search.corpus(each.questions.documents) for each in sets}
    cases = list[Case]()
    for own in sets:
        cases += _ask(search, corpora, own, own.name, own.labelled[: sizes.num_questions])
    for asking, corpus in permutations(sets, 2):
        if {asking.name, corpus.name} <= sizes.related:
            continue
        later = asking.labelled[sizes.num_questions :] or asking.labelled
        off_topic = [replace(question, kind="off topic") for question in later[: sizes.num_off_topic]]
        cases += _ask(search, corpora, asking, corpus.name, off_topic)
    return cases


def _ask(
    search: OfflineSearch,
    corpora: dict[str, OfflineCorpus],
    asking: LabelledSet,
    corpus: str,
    labelled: Sequence[LabelledQuestion],
) -> Iterator[Case]:
    embeddings = search.questions([question.text for question in labelled])
    for question, embedding in zip(labelled, embeddings, strict=True):
        hits = corpora[corpus].search(question.text, embedding)
        texts = [passage.indexed_text for passage in hits.passages]
        if question.kind == "off topic" and is_answered(question.answers, texts):
            continue
        estimate = partial(_estimate, question.text, hits)
        features, first_ms = estimate()
        yield Case(asking.name, corpus, question.kind, features, first_ms, estimate()[1])


def is_answered(answers: Sequence[str], texts: Sequence[str]) -> bool:
    """Whether a text has one of the answers, so that the question is not off topic after all.

    Compares lower-case words. The text need not be about the question: a few that are off topic are left out, too.
    """
    present = " ".join(f" {_plain(text)} " for text in texts)
    return any(len(_plain(answer)) >= MIN_ANSWER_CHARS and f" {_plain(answer)} " in present for answer in answers)


def _plain(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.lower()))


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
    rows = (row for row in _rows(folder) if _stands_alone(row, questions, present))
    labelled = [LabelledQuestion(row["text"], _kind(row), tuple(row.get("answers", ()))) for row in rows]
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
