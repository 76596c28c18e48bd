"""Makes a prepared corpus: real chunks with their real vectors, then filler, in one database."""

import json
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from deployments.replica.storage import StorageConfig
from models.catalog import Catalog
from models.corpus.corpus import Corpus
from models.corpus.records import PageRequest, StoredChunk
from models.documents.file_parser import FileParser
from models.embedding.base import EmbeddingModel
from models.errors.requests import InvalidRequestError
from models.index.token_codec import encode_tokens
from models.types.arrays import FloatArray, HalfArray
from models.types.scope import DEFAULT_TENANT, DEFAULT_VECTOR_STORE
from serve.cli.driver.corpus.embedded import EmbeddedChunks, Report, embedded
from serve.cli.driver.corpus.filler import Filler
from serve.cli.driver.corpus.plan import CorpusPlan
from serve.cli.driver.corpus.prepared import CHUNKS, MANIFEST, QUESTIONS, STATE, VECTORS, PreparedCorpus
from serve.cli.driver.corpus.real import RealCorpus, read_real
from serve.cli.driver.corpus.store import Block, write_blocks
from serve.cli.driver.peers.settings import IndexedChunk, write_chunks
from serve.config_file import read, settings_of

CHUNKS_PER_FILE = 500
REPORT_EVERY = 10_000  # chunks
REAL = "real"  # folder of the real chunks' vectors, which outlive the corpus
PAGE_LIMIT = 100


def prepare(plan: CorpusPlan, folder: Path, report: Report) -> PreparedCorpus:
    """The plan's corpus in `folder`: at once if it is there already, else made in place of any other corpus there.

    Making it takes minutes: a real model embeds the sets' chunks. Raises InvalidRequestError for a set that cannot be
    read.
    """
    key, manifest = plan.key(), folder / MANIFEST
    if manifest.is_file() and json.loads(manifest.read_text())["key"] == key:
        return PreparedCorpus.open(folder)
    manifest.unlink(missing_ok=True)
    shutil.rmtree(folder / STATE, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    facts = _make(plan, folder, report)
    manifest.write_text(json.dumps({"key": key, "facts": facts}, indent=1) + "\n")
    return PreparedCorpus.open(folder)


def _make(plan: CorpusPlan, folder: Path, report: Report) -> dict[str, str]:
    catalog = Catalog.open(settings_of(read(plan.config)).catalog)
    real = _read_real(plan, catalog)
    report(f"{len(real.chunks):,} real chunks, {len(real.questions):,} questions")
    model: EmbeddingModel = catalog.load("embedding", plan.embedder.model)
    texts = [chunk.indexed_text for chunk in real.chunks]
    vectors = embedded(model, texts, folder / REAL / f"{real.digest}-{model.generation.replace('/', '-')}", report)
    corpus = StorageConfig(data_dir=folder / STATE).open()
    try:
        write_blocks(corpus, model.generation, _blocks(plan, real, vectors, report))
        _write_for_peers(corpus, folder, model.generation)
    finally:
        corpus.close()
    lines = (json.dumps(asdict(question)) + "\n" for question in real.questions)
    (folder / QUESTIONS).write_text("".join(lines), encoding="utf-8")
    return {
        "chunks": f"{plan.num_chunks:,}, {len(real.chunks):,} of them real",
        "sets": ", ".join(path.resolve().name for path in plan.documents),
        "questions": f"{len(real.questions):,}",
        "generation": model.generation,
    }


def _read_real(plan: CorpusPlan, catalog: Catalog) -> RealCorpus:
    config = plan.parser
    real = read_real(plan.documents, FileParser(catalog.tokenizer(config.tokenizer)), config.chunking, plan.max_real)
    if not real.chunks:
        raise InvalidRequestError("no question set has a document; name its folder with --documents", "documents")
    return real


@dataclass(frozen=True)
class _Entry:
    """A chunk to store. `tokens` are its token vectors (n, dim); None for a model without them."""

    text: str
    num_tokens: int
    vector: FloatArray
    tokens: HalfArray | None


def _blocks(plan: CorpusPlan, real: RealCorpus, vectors: EmbeddedChunks, report: Report) -> Iterator[Block]:
    """The real chunks, then the filler, CHUNKS_PER_FILE at a time."""
    entries, num_done = _entries(plan, real, vectors), 0
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        while batch := list(islice(entries, CHUNKS_PER_FILE)):
            codes = pool.map(encode_tokens, [entry.tokens for entry in batch if entry.tokens is not None])
            matrix = np.stack([entry.vector for entry in batch])
            texts, counts = [entry.text for entry in batch], [entry.num_tokens for entry in batch]
            yield Block.of(texts, counts, matrix, tuple(codes))
            num_done += len(batch)
            if num_done % REPORT_EVERY < len(batch):
                report(f"stored {num_done:,} of {plan.num_chunks:,} chunks")


def _entries(plan: CorpusPlan, real: RealCorpus, vectors: EmbeddedChunks) -> Iterator[_Entry]:
    rows = vectors.tokens
    for number, chunk in enumerate(real.chunks):
        text = chunk.indexed_text
        tokens = None if rows is None else rows.within(number, 0, len(text))
        yield _Entry(text, chunk.num_tokens, vectors.vectors[number], tokens)
    filler = Filler(real.chunks, vectors, plan.seed)
    for number, recipe in enumerate(filler.recipes(plan.num_chunks - len(real.chunks))):
        vector, tokens = filler.vector(recipe, number), filler.tokens(recipe)
        yield _Entry(filler.text(recipe), filler.num_tokens(recipe), vector, tokens)


def _write_for_peers(corpus: Corpus, folder: Path, generation: str) -> None:
    """Writes the chunks with their ids, and their vectors, both in the order of their keys."""
    write_chunks(folder / CHUNKS, [IndexedChunk(row.chunk_id, row.text, row.context) for row in _stored(corpus)])
    matrices, seq, is_last = list[FloatArray](), 0, False
    while not is_last:
        changes = corpus.views.vector_changes(DEFAULT_TENANT, DEFAULT_VECTOR_STORE, seq, generation)
        seq, is_last = changes.up_to_seq, changes.is_last
        matrices.append(changes.vectors)
    np.save(folder / VECTORS, np.concatenate(matrices))


def _stored(corpus: Corpus) -> Iterator[StoredChunk]:
    """Every chunk of the default store, in the order of the files and of their texts."""
    store, after, has_more = (DEFAULT_TENANT, DEFAULT_VECTOR_STORE), None, True
    while has_more:
        page = corpus.store_files.page(*store, PageRequest(PAGE_LIMIT, after, "asc"))
        for file in page.items:
            yield from corpus.store_files.chunks(*store, file.file_id)
        after, has_more = page.items[-1].file_id if page.items else None, page.has_more
