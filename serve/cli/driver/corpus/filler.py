"""Filler: passages whose sentences come from several real passages, so that a corpus has any size and no new topic.

A filler's vector is the mean of its sources' vectors, weighted by their parts of its text, with a little noise. Its
token vectors are those of its sentences, as they are in their sources.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from models.generation.sentences import sentence_spans
from models.types.arrays import FloatArray, HalfArray
from models.types.chunks import Chunk
from serve.cli.driver.corpus.embedded import EmbeddedChunks

NUM_SOURCES = (2, 4)  # real passages of a filler, both included
NOISE = 0.15  # length of the noise beside a unit vector


@dataclass(frozen=True)
class Sentence:
    """Characters `start` to `end` of the text of real chunk `source`."""

    source: int
    start: int
    end: int

    @property
    def num_chars(self) -> int:
        return self.end - self.start


class Filler:
    """Makes fillers from real chunks. The same seed gives the same fillers, and a longer run begins like a shorter."""

    def __init__(self, chunks: Sequence[Chunk], embedded: EmbeddedChunks, seed: int) -> None:
        self._chunks, self._embedded = chunks, embedded
        self._spans = [sentence_spans(chunk.text) or [(0, len(chunk.text))] for chunk in chunks]
        self._seed = seed

    def recipes(self, count: int) -> Iterator[tuple[Sentence, ...]]:
        """The sentences of each filler, in the order of its text."""
        generator = np.random.default_rng(self._seed)
        least, most = (min(size, len(self._chunks)) for size in NUM_SOURCES)
        for _ in range(count):
            sources = generator.choice(len(self._chunks), generator.integers(least, most + 1), replace=False)
            yield self._mix(sources.tolist(), generator)

    def text(self, recipe: Sequence[Sentence]) -> str:
        return " ".join(self._chunks[sentence.source].text[sentence.start : sentence.end] for sentence in recipe)

    def vector(self, recipe: Sequence[Sentence], number: int) -> FloatArray:
        """The unit vector (dim,) of filler `number`."""
        sources = [sentence.source for sentence in recipe]
        mixed = np.array([sentence.num_chars for sentence in recipe], np.float32) @ self._embedded.vectors[sources]
        noise = np.random.default_rng((self._seed, number)).standard_normal(len(mixed), np.float32)
        vector = mixed / np.linalg.norm(mixed) + NOISE * noise / np.linalg.norm(noise)
        return np.asarray(vector / np.linalg.norm(vector), np.float32)

    def tokens(self, recipe: Sequence[Sentence]) -> HalfArray | None:
        """The token vectors (n, dim) in the order of the text; None for a model without them."""
        rows = self._embedded.tokens
        if rows is None:
            return None
        spans = ((sentence, self._offset(sentence.source)) for sentence in recipe)
        return np.concatenate(
            [rows.within(sentence.source, offset + sentence.start, offset + sentence.end) for sentence, offset in spans]
        )

    def num_tokens(self, recipe: Sequence[Sentence]) -> int:
        """As many tokens a character as its sources have."""
        sources = [self._chunks[sentence.source] for sentence in recipe]
        parts = zip(recipe, sources, strict=True)
        return max(1, round(sum(sentence.num_chars * chunk.num_tokens / len(chunk.text) for sentence, chunk in parts)))

    def _offset(self, source: int) -> int:
        """Where the text of a real chunk begins in the text that was embedded."""
        chunk = self._chunks[source]
        return len(chunk.indexed_text) - len(chunk.text)

    def _mix(self, sources: list[int], generator: np.random.Generator) -> tuple[Sentence, ...]:
        """Sentences of all sources, in any order, as many as fit into a text of the first source's length."""
        sentences = [Sentence(source, *span) for source in sources for span in self._spans[source]]
        order = generator.permutation(len(sentences))
        free, chosen = len(self._chunks[sources[0]].text), list[Sentence]()
        for place in order:
            sentence = sentences[place]
            if not chosen or sentence.num_chars <= free:
                chosen.append(sentence)
                free -= sentence.num_chars
        return tuple(chosen)
