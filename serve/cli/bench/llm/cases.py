"""Questions with passages that answer them, and with passages that do not."""

import gzip
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from models.types.chunks import Passage
from serve.cli.driver.question_set import Document, read_question_set

SEED, NUM_PASSAGES = 7, 3


@dataclass(frozen=True)
class Case:
    """A question and three passages of its set. `answers` are its gold answers.

    `relevant` has the file ids of the passages that answer it.
    """

    question: str
    answers: tuple[str, ...]
    passages: tuple[Passage, ...]
    relevant: frozenset[str]


def cases(folder: Path, num_questions: int) -> Iterator[Case]:
    """Each question twice: with its passage among three, and with three passages of other questions."""
    questions, gold = read_question_set(folder), _gold_answers(folder)
    documents = {document.document_id: document for document in questions.documents}
    chance = random.Random(SEED)
    for query_id, text in questions.sample(num_questions, SEED).queries.items():
        relevant = [name for name, score in questions.qrels[query_id].items() if score > 0 and name in documents]
        distractors = chance.sample(
            [name for name in documents if name not in questions.qrels[query_id]], 2 * NUM_PASSAGES
        )
        if relevant:
            names = [relevant[0], *distractors[: NUM_PASSAGES - 1]]
            chance.shuffle(names)
            yield _case(text, gold.get(query_id, ()), [documents[name] for name in names], relevant)
        yield _case(text, (), [documents[name] for name in distractors[NUM_PASSAGES:]], [])


def _case(text: str, answers: tuple[str, ...], documents: list[Document], relevant: list[str]) -> Case:
    passages = tuple(_passage(place, document) for place, document in enumerate(documents))
    return Case(text, answers, passages, frozenset(relevant))


def _passage(key: int, document: Document) -> Passage:
    name = document.document_id
    return Passage(key, f"chunk-{name}", name, document.title or name, document.text, 0, len(document.text))


def _gold_answers(folder: Path) -> dict[str, tuple[str, ...]]:
    with gzip.open(folder / "queries.jsonl.gz", "rt") as lines:
        queries = [json.loads(line) for line in lines]
    return {query["_id"]: tuple(query.get("answers") or filter(None, [query.get("answer")])) for query in queries}
