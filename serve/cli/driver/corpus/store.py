"""Writes chunks and vectors into a corpus's database, as if they had been ingested: a large transaction a file."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from models.corpus.corpus import Corpus
from models.types.arrays import FloatArray
from models.types.chunks import Chunk
from models.types.scope import DEFAULT_TENANT, DEFAULT_VECTOR_STORE

LEASE_S = 600.0
WORKER = "bench"
SEPARATOR = "\n\n"


@dataclass(frozen=True)
class Block:
    """The chunks of one file, placed in its text, and their vectors (len(chunks), dim).

    `token_codes` are the chunks' encoded token vectors; it is empty for a model without them.
    """

    text: str
    chunks: tuple[Chunk, ...]
    vectors: FloatArray
    token_codes: tuple[bytes, ...]

    @staticmethod
    def of(
        texts: Sequence[str], num_tokens: Sequence[int], vectors: FloatArray, token_codes: Sequence[bytes] = ()
    ) -> "Block":
        """A file of these texts, one after the other."""
        chunks, start = list[Chunk](), 0
        for text, count in zip(texts, num_tokens, strict=True):
            chunks.append(Chunk(text, start, start + len(text), "", count))
            start += len(text) + len(SEPARATOR)
        return Block(SEPARATOR.join(texts), tuple(chunks), vectors, tuple(token_codes))


def write_blocks(corpus: Corpus, generation: str, blocks: Iterable[Block]) -> None:
    """Puts the blocks into the default store. Keys of chunks count from 1, in the order of the blocks."""
    for number, block in enumerate(blocks):
        file = corpus.files.add(DEFAULT_TENANT, f"part-{number:04}.txt", block.text.encode())
        corpus.store_files.attach(DEFAULT_TENANT, DEFAULT_VECTOR_STORE, file.file_id)
        (job,) = corpus.jobs.claim(WORKER, 1, LEASE_S)
        codes = {generation: block.token_codes} if block.token_codes else {}
        corpus.jobs.complete(job, block.text, block.chunks, {generation: block.vectors}, codes)
