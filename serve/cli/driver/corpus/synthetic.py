"""A corpus of random words with random vectors, of any size: for what only depends on how much there is."""

from dataclasses import dataclass

import numpy as np

from models.corpus.corpus import Corpus
from models.corpus.records import Job
from models.types.chunks import Chunk
from models.types.scope import DEFAULT_TENANT, DEFAULT_VECTOR_STORE

CHUNKS_PER_FILE = 100
CHUNK_CHARS, WORD_CHARS = 800, 9
CHUNK_TOKENS = 200
SEED = 7
NUM_WORDS = 20_000
LEASE_S = 600.0


@dataclass(frozen=True)
class VectorSpace:
    """An embedding model's generation, and the dimensions of its vectors."""

    generation: str = "benchmark@1"
    dim: int = 384


def fill(corpus: Corpus, num_chunks: int, token_bytes: int = 0, space: VectorSpace | None = None) -> None:
    """Store so many chunks of 800 characters. `token_bytes` of token vectors a chunk; 0: none."""
    generator, space = np.random.default_rng(SEED), space or VectorSpace()
    vocabulary = [f"{generator.integers(1 << 40):x}" for _ in range(NUM_WORDS)]
    for number in range(0, num_chunks, CHUNKS_PER_FILE):
        words = generator.choice(vocabulary, CHUNKS_PER_FILE * CHUNK_CHARS // WORD_CHARS)
        content = " ".join(words)[: CHUNK_CHARS * min(CHUNKS_PER_FILE, num_chunks - number)]
        file = corpus.files.add(DEFAULT_TENANT, f"{number}.txt", content.encode())
        corpus.store_files.attach(DEFAULT_TENANT, DEFAULT_VECTOR_STORE, file.file_id)
        for job in corpus.jobs.claim("benchmark", 1, LEASE_S):
            _complete(corpus, job, content, token_bytes, space, generator)


def _complete(
    corpus: Corpus, job: Job, content: str, token_bytes: int, space: VectorSpace, generator: np.random.Generator
) -> None:
    starts = range(0, len(content), CHUNK_CHARS)
    chunks = [
        Chunk(content[start:end], start, end, f"File {job.filename}", CHUNK_TOKENS)
        for start, end in ((start, min(start + CHUNK_CHARS, len(content))) for start in starts)
    ]
    vectors = generator.standard_normal((len(chunks), space.dim), np.float32)
    codes = {space.generation: [generator.bytes(token_bytes) for _ in chunks]} if token_bytes else {}
    corpus.jobs.complete(job, content, chunks, {space.generation: vectors}, codes)
