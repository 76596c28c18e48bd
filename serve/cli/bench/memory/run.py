"""`ragserve bench memory`: what is found when a user comes back to a topic after a hundred other exchanges.

Each question of the set is the last message of a conversation that people wrote. Its own exchanges come first, then
those of other conversations.
"""

import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from models.catalog import Catalog
from models.errors.requests import InvalidRequestError
from models.generation.own_context import context_evidence
from models.generation.recollection import looks_back, speaks_of_oneself, statements
from serve.cli.bench.memory.talks import LongTalk, Talk, long_talks, read_talks
from serve.cli.driver.offline_search import ALIAS
from serve.cli.driver.question_set import query_rows
from serve.conversations.config import MemoryConfig
from serve.pipelines.answering import Turn
from serve.pipelines.query import QueryConfig

SEED = 11
DEPTHS = (1, 3, 5)
NUM_RECALLED = MemoryConfig().recalled


def run(folder: Path, num_exchanges: int, num_questions: int) -> Iterator[str]:
    """Markdown tables: what is recalled, what fits in its place, and answers from memory."""
    rows = query_rows(folder)
    if not all(isinstance(row.get("messages"), list) for row in rows):
        raise InvalidRequestError(f"{folder}: its queries have no `messages`")
    talks = read_talks(rows)
    chosen = random.Random(SEED).sample(talks, min(num_questions, len(talks)))
    coming_back = list(long_talks(chosen, talks, num_exchanges, Catalog.open().load("embedding", ALIAS)))
    yield from _recall_rows(coming_back)
    yield ""
    yield from _text_rows(coming_back)
    yield ""
    yield from _takeover_rows(chosen)


def _recall_rows(talks: Sequence[LongTalk]) -> Iterator[str]:
    yield f"| an own exchange is among the best | {' | '.join(map(str, DEPTHS))} |"
    yield "|---|" + "---|" * len(DEPTHS)
    alone = [each for each in talks if each.talk.stands_alone]
    follow_ups = [each for each in talks if not each.talk.stands_alone]
    for name, group in (("all", talks), ("complete by themselves", alone), ("follow-ups", follow_ups)):
        for title, with_vectors, with_words in (
            ("vectors", True, False),
            ("words", False, True),
            ("both", True, True),
        ):
            ranked = [(each, each.ranked(with_vectors, with_words)) for each in group]
            shares = [[each.has_own(best[:depth]) for each, best in ranked] for depth in DEPTHS]
            yield f"| {len(group)} questions, {name}: {title} | {' | '.join(map(_percent, shares))} |"


def _text_rows(talks: Sequence[LongTalk]) -> Iterator[str]:
    """Texts of the same length in place of what is recalled."""
    yield "| a model reads of the earlier turns | characters | has a message of the own conversation |"
    yield "|---|---|---|"
    recalled = [tuple(turn for group in talk.ranked()[:NUM_RECALLED] for turn in group) for talk in talks]
    sizes = [sum(len(turn.text) for turn in turns) for turns in recalled]
    readings = {
        f"the {NUM_RECALLED} recalled exchanges": recalled,
        "an extractive summary: the most central messages": [
            _first_chars(_central(talk), size) for talk, size in zip(talks, sizes, strict=True)
        ],
        "the last messages": [_first_chars(talk.turns[::-1], size) for talk, size in zip(talks, sizes, strict=True)],
    }
    for title, texts in readings.items():
        own = [any(turn in talk.talk.turns for turn in text) for talk, text in zip(talks, texts, strict=True)]
        yield f"| {title} | {np.mean(sizes):.0f} | {_percent(own)} |"


def _central(talk: LongTalk) -> list[Turn]:
    """The messages, the nearest to their mean first."""
    vectors = np.stack([talk.vectors[turn.item_id] for turn in talk.turns])
    order = np.argsort(-(vectors @ vectors.mean(axis=0)), kind="stable")
    return [talk.turns[place] for place in order.tolist()]


def _first_chars(turns: Sequence[Turn], size: int) -> tuple[Turn, ...]:
    fitting: list[Turn] = []
    for turn in turns:
        size -= len(turn.text)
        if size < 0:
            break
        fitting.append(turn)
    return tuple(fitting)


def _takeover_rows(talks: Sequence[Talk]) -> Iterator[str]:
    """Questions about documents that a model that quotes would answer from memory."""
    yield "| questions about documents, after their own conversation | number |"
    yield "|---|---|"
    yield f"| all | {len(talks)} |"
    yield f"| look back, by their words | {sum(looks_back(talk.question) for talk in talks)} |"
    yield f"| of oneself, with evidence in what the user stated | {sum(map(_has_statement, talks))} |"


def _has_statement(talk: Talk) -> bool:
    own = [turn.text for turn in talk.turns if turn.role == "user" and statements(turn.text)]
    evidence = max((context_evidence(talk.question, text) for text in own), default=0.0)
    return speaks_of_oneself(talk.question) and evidence >= QueryConfig().min_evidence


def _percent(hits: Sequence[bool]) -> str:
    return f"{100 * np.mean(hits):.1f} %" if hits else "–"
