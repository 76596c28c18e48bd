"""The embedder's vectors of the probes are kept for processes that start later."""

from pathlib import Path

import numpy as np

from models.corpus.corpus import Corpus
from models.corpus.embedding_references import MAX_GENERATIONS
from models.types.stage_results import Embeddings
from tests.models.corpus.corpus_samples import Clock

TEXTS = "the digest of the texts"


def open_corpus(folder: Path, clock: Clock) -> Corpus:
    return Corpus.open(f"sqlite:///{folder / 'corpus.db'}", folder / "files", clock)


def vectors_of(generation: str, value: float, has_tokens: bool = False) -> list[Embeddings]:
    tokens = np.full((3, 4), value, np.float16) if has_tokens else None
    vectors = np.full((1, 4), value, np.float32)
    return [Embeddings(vectors, generation, "minilm"), Embeddings(-vectors, generation, "minilm", query_tokens=tokens)]


def test_another_process_reads_the_same_vectors(tmp_path: Path) -> None:
    stored = vectors_of("minilm@1", 0.5, has_tokens=True)
    open_corpus(tmp_path, Clock()).embedding_references.put(TEXTS, stored)

    (read,) = open_corpus(tmp_path, Clock()).embedding_references.get(TEXTS).values()

    assert [each.generation for each in read] == ["minilm@1"] * 2
    assert [each.model for each in read] == ["minilm"] * 2
    assert all(np.array_equal(a.vectors, b.vectors) for a, b in zip(read, stored, strict=True))
    assert read[0].query_tokens is None
    assert np.array_equal(read[1].query_tokens, stored[1].query_tokens)


def test_vectors_of_other_texts_are_not_read(tmp_path: Path) -> None:
    references = open_corpus(tmp_path, Clock()).embedding_references
    references.put("other texts", vectors_of("minilm@1", 0.5))

    assert references.get(TEXTS) == {}


def test_the_last_generations_are_kept_the_newest_last(tmp_path: Path) -> None:
    clock = Clock()
    references = open_corpus(tmp_path, clock).embedding_references
    for number in range(MAX_GENERATIONS + 2):
        clock.now += 60
        references.put(TEXTS, vectors_of(f"minilm@{number}", number))
    references.put(TEXTS, vectors_of(f"minilm@{number}", 9.0))

    stored = references.get(TEXTS)

    assert list(stored) == [f"minilm@{each}" for each in range(2, MAX_GENERATIONS + 2)]
    assert stored[f"minilm@{number}"][0].vectors[0, 0] == 9.0
