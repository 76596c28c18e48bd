"""Synthetic vectors and texts for the searches, and how they get into a corpus without a model."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.corpus.corpus import Corpus
from models.types.arrays import FloatArray
from models.types.chunks import Chunk
from models.types.scope import DEFAULT_TENANT, DEFAULT_VECTOR_STORE, Scope

GENERATION = "synthetic@1"
SCOPE = Scope(DEFAULT_TENANT, (DEFAULT_VECTOR_STORE,))
NUM_QUERIES = 1_024
CHUNKS_PER_FILE = 5_000
NUM_WORDS = 50_000  # vocabulary, drawn by Zipf's law
WORDS_PER_TEXT, WORDS_PER_QUERY = 40, 6
CHUNKS_PER_CLUSTER, MIN_CLUSTERS = 500, 8
SPREAD = 0.7  # of a vector around the centre of its cluster
LEASE_S = 600.0


@dataclass(frozen=True)
class IndexWorkload:
    """Data to index and to search: vectors (n, dim), queries (q, dim) on the unit sphere, texts and text queries."""

    vectors: FloatArray
    queries: FloatArray
    texts: list[str]
    text_queries: list[str]

    def __len__(self) -> int:
        return len(self.vectors)


def make_index_workload(num_chunks: int, dim: int, seed: int = 0) -> IndexWorkload:
    """Vectors in clusters, as embeddings are, and texts whose words follow Zipf's law."""
    generator = np.random.default_rng(seed)
    num_clusters = max(MIN_CLUSTERS, num_chunks // CHUNKS_PER_CLUSTER)
    centres = generator.standard_normal((num_clusters, dim), np.float32)
    vectors = vectors_around(centres, num_chunks, generator)
    words = np.array([f"w{number:x}" for number in range(NUM_WORDS)])
    weights = 1 / np.arange(1, NUM_WORDS + 1)
    text_words = generator.choice(NUM_WORDS, (num_chunks, WORDS_PER_TEXT), p=weights / weights.sum())
    query_words = generator.choice(NUM_WORDS, (NUM_QUERIES, WORDS_PER_QUERY), p=weights / weights.sum())
    return IndexWorkload(
        vectors,
        vectors_around(centres, NUM_QUERIES, generator),
        [" ".join(words[row]) for row in text_words],
        [" ".join(words[row]) for row in query_words],
    )


def vectors_around(centres: FloatArray, count: int, generator: np.random.Generator) -> FloatArray:
    """Unit vectors (count, dim), each near one of the centres."""
    vectors = centres[generator.integers(len(centres), size=count)]
    vectors += SPREAD * generator.standard_normal(vectors.shape, np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def random_unit_vectors(count: int, dim: int, seed: int = 0) -> FloatArray:
    """Unit vectors (count, dim) without any structure."""
    vectors = np.random.default_rng(seed).standard_normal((count, dim), np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def store_chunks(corpus: Corpus, texts: list[str], vectors: FloatArray, token_codes: Sequence[bytes] = ()) -> None:
    """Puts texts, vectors and token vectors into the default store as if ingested; chunk i gets key i + 1."""
    for start in range(0, len(texts), CHUNKS_PER_FILE):
        of_file = slice(start, start + CHUNKS_PER_FILE)
        file = corpus.files.add(DEFAULT_TENANT, f"{start}.txt", str(start).encode())
        corpus.store_files.attach(DEFAULT_TENANT, DEFAULT_VECTOR_STORE, file.file_id)
        (job,) = corpus.jobs.claim("bench", 1, LEASE_S)
        chunks = [Chunk(text, place, place + 1, "", WORDS_PER_TEXT) for place, text in enumerate(texts[of_file])]
        codes = {GENERATION: token_codes[of_file]} if token_codes else {}
        corpus.jobs.complete(job, "", chunks, {GENERATION: vectors[of_file]}, codes)
