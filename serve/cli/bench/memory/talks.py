"""Long conversations from short ones: a question after a hundred other exchanges."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from models.embedding.base import EmbeddingModel
from models.embedding.offline import embed_documents, embed_queries
from models.generation.follow_up import as_question, stands_alone
from models.types.arrays import FloatArray
from serve.conversations.recall import MAX_EMBEDDED_CHARS, exchanges, group_scores
from serve.pipelines.answering import Turn

Exchange = tuple[Turn, ...]


@dataclass(frozen=True)
class Talk:
    """A conversation of a question set: its exchanges, and the question that ends it."""

    talk_id: str
    exchanges: tuple[Exchange, ...]
    question: str

    @property
    def stands_alone(self) -> bool:
        return stands_alone(as_question(self.question))

    @property
    def turns(self) -> tuple[Turn, ...]:
        return tuple(turn for exchange in self.exchanges for turn in exchange)


@dataclass(frozen=True)
class LongTalk:
    """A talk before the exchanges of others, and the vectors of its question and of each turn."""

    talk: Talk
    turns: tuple[Turn, ...]
    vector: FloatArray
    vectors: dict[str, FloatArray]

    def ranked(self, with_vectors: bool = True, with_words: bool = True) -> list[Exchange]:
        """The exchanges, best first; of equal ones the newer first, as in the service."""
        question = as_question(self.talk.question) if with_words else ""
        groups = exchanges(self.turns)
        scores = group_scores(question, self.vector, groups, self.vectors if with_vectors else {})
        return [groups[place] for place in sorted(range(len(groups)), key=lambda place: (-scores[place], -place))]

    def has_own(self, groups: Sequence[Exchange]) -> bool:
        """Whether one of the exchanges is the talk's."""
        return any(group in self.talk.exchanges for group in groups)


def read_talks(rows: Sequence[dict[str, object]]) -> list[Talk]:
    """The rows with at least one exchange before the question."""
    return [talk for talk in map(_talk, rows) if talk.exchanges]


def long_talks(
    chosen: Sequence[Talk], talks: Sequence[Talk], num_exchanges: int, model: EmbeddingModel
) -> Iterator[LongTalk]:
    """Each chosen talk before the exchanges of others, over which its question comes back."""
    turns = [turn for talk in talks for turn in talk.turns]
    rows = embed_documents(model, [turn.text[:MAX_EMBEDDED_CHARS] for turn in turns])
    vectors = {turn.item_id: row for turn, row in zip(turns, rows, strict=True)}
    questions = embed_queries(model, [as_question(talk.question) for talk in chosen])
    for talk, vector in zip(chosen, questions, strict=True):
        yield LongTalk(talk, talk.turns + _others(talk, talks, num_exchanges), vector, vectors)


def _others(talk: Talk, talks: Sequence[Talk], num_exchanges: int) -> tuple[Turn, ...]:
    different = [each for each in talks if each is not talk]
    random.Random(talk.talk_id).shuffle(different)
    groups = [group for each in different for group in each.exchanges]
    return tuple(turn for exchange in groups[: num_exchanges - len(talk.exchanges)] for turn in exchange)


def _talk(row: dict[str, object]) -> Talk:
    messages = row.get("messages")
    assert isinstance(messages, list)
    name = str(row["_id"])
    pairs = zip(messages[:-1:2], messages[1::2], strict=False)
    groups = tuple(
        (
            Turn(f"{name}-{place}-user", "user", question["content"]),
            Turn(f"{name}-{place}", "assistant", answer["content"]),
        )
        for place, (question, answer) in enumerate(pairs)
    )
    return Talk(name, groups, messages[-1]["content"])
