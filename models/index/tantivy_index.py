"""Keyword search with Tantivy: BM25 on English stems."""

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from models.errors import ConflictError
from models.filters import Attributes, Filter
from models.index import stop_words
from models.index.attributes import FileAttributes
from models.index.attributes_snapshot import read_state, write_state
from models.index.bm25 import idf
from models.index.private_folder import link_file, private_folder
from models.types import KeyArray, LexicalRanking, Ranking

if TYPE_CHECKING:
    import tantivy

KEY, FILE, TEXT, ANALYZER = "key", "file", "text", "words"
# Tantivy's minimum heap for one thread. Measured: a commit of one document takes 1.9 ms with it, 4.8 ms with 50 MB.
WRITER_HEAP_BYTES = 15_000_000
# For many documents at once. A full heap becomes a segment, and each segment slows down every query: with 20,000 chunks
# of 40 words, 32 queries took 5.2 ms with 7 segments, 3.3 ms with one.
BULK_HEAP_BYTES, BULK_FROM = 150_000_000, 1_000
# Number of documents from which an index keeps its writer open. Closing it waits for merges: up to 0.04 s at this
# number, 1 s with a million.
WRITER_KEPT_FROM = 50_000
# Number of documents up to which an index, and their texts, stay in memory. An index in a folder costs a watcher
# thread, and 4 ms of syncing per commit.
MAX_IN_MEMORY = 500
MAX_WORD_BYTES = 40  # Tantivy's default; longer words are hashes and base64
FILES_FOLDER, SNAPSHOT_KIND = "words", {"index": "tantivy"}


@dataclass(frozen=True)
class Word:
    """A lower-cased word of a query, and its term in the index."""

    text: str
    term: str


@dataclass(frozen=True)
class _Entry:
    """A chunk to index."""

    key: int
    file_key: int
    text: str


class TantivyIndex:
    """A LexicalIndex and Snapshotting. A small index is in memory, a larger one in a private folder.

    The next search commits all writes, so that many small writes share one commit. All words are indexed, so that each
    has a document frequency. A query drops its stop words unless it has no other words. Document frequencies and
    lengths are of the whole index, even with a filter.
    """

    def __init__(self) -> None:
        import tantivy

        self._tantivy = tantivy
        self._analyzer = _analyzer(tantivy)
        self._stop_filter = _stop_filter(tantivy)
        self._schema = _schema(tantivy)
        self._folder: Path | None = None
        self._in_memory: dict[int, _Entry] = {}  # by key, to fill a folder later
        self._index = self._open()
        self._writer: tantivy.IndexWriter | None = None  # open while there are uncommitted writes
        self._is_dirty = self._is_bulk = False
        self._files = FileAttributes()
        self._lock = threading.Lock()

    def add(self, keys: KeyArray, file_keys: KeyArray, texts: list[str]) -> None:
        if not len(keys) == len(file_keys) == len(texts):
            raise ConflictError(
                f"got {len(keys)} keys, {len(file_keys)} file keys and {len(texts)} texts; the numbers must be equal"
            )
        if not texts:
            return
        with self._lock:
            self._files.slots(file_keys)
            entries = list(map(_Entry, keys.tolist(), file_keys.tolist(), texts))
            is_bulk = len(entries) >= BULK_FROM
            if self._folder is None:
                if len(self._in_memory) + len(entries) <= MAX_IN_MEMORY:
                    self._in_memory |= {entry.key: entry for entry in entries}
                else:
                    self._move_to_folder(is_bulk)
            self._write(entries, is_bulk)

    def remove(self, keys: KeyArray) -> None:
        if not len(keys):
            return
        with self._lock:
            writer = self._writing()
            for key in keys.tolist():
                writer.delete_documents_by_term(KEY, key)
                self._in_memory.pop(key, None)

    def set_attributes(self, attributes: Mapping[int, Attributes]) -> None:
        with self._lock:
            self._files.set(attributes)

    def search(self, query: str, k: int, where: Filter | None = None) -> LexicalRanking:
        with self._lock:
            self._commit()
            words, searcher = self._words(query), self._index.searcher()
            clause = self._clause(where)
        weights = {word.text: _weight(searcher, word.term) for word in words}
        terms = self._searched_terms(words)
        if k < 1 or not terms or not searcher.num_docs:
            return LexicalRanking(Ranking.empty(), weights)
        return LexicalRanking(self._rank(searcher, terms, clause, k), weights)

    def save(self, folder: Path) -> None:
        with self._lock:
            own_folder = self._folder or self._move_to_folder()
            self._commit()
            # A merge adds and deletes files, so the writer must be closed.
            self._close_writer()
            (folder / FILES_FOLDER).mkdir()
            _link_files(own_folder, folder / FILES_FOLDER)
            write_state(folder, SNAPSHOT_KIND, self._files)

    def load(self, folder: Path) -> None:
        if len(self):
            raise ConflictError("only an empty index can load a snapshot")
        with self._lock:
            attributes = read_state(folder, SNAPSHOT_KIND)
            self._close_writer()
            own_folder = private_folder(self)
            try:
                _link_files(folder / FILES_FOLDER, own_folder)
                index = self._open(own_folder)
            except (OSError, ValueError) as error:  # Tantivy raises ValueError
                raise ConflictError(f"the snapshot in {folder} was deleted meanwhile: {error}") from error
            self._folder, self._index = own_folder, index
            self._files.set(attributes)

    def __len__(self) -> int:
        with self._lock:
            self._commit()
            return int(self._index.searcher().num_docs)

    def _open(self, folder: Path | None = None) -> "tantivy.Index":
        index = self._tantivy.Index(self._schema, path=str(folder) if folder else None)
        index.register_tokenizer(ANALYZER, self._analyzer)
        # Reload manually after a commit: the watcher of the default policy makes each commit 40 times slower.
        index.config_reader("manual")
        return index

    def _move_to_folder(self, is_bulk: bool = False) -> Path:
        """Move the index from memory to a folder."""
        folder = private_folder(self)
        self._folder, self._index, self._writer = folder, self._open(folder), None
        self._write(self._in_memory.values(), is_bulk)
        self._in_memory = {}
        return folder

    def _write(self, entries: Iterable[_Entry], is_bulk: bool) -> None:
        writer = self._writing(is_bulk)
        for entry in entries:
            document = self._tantivy.Document()
            document.add_integer(KEY, entry.key)
            document.add_integer(FILE, entry.file_key)
            document.add_text(TEXT, entry.text)
            writer.add_document(document)

    def _writing(self, is_bulk: bool = False) -> "tantivy.IndexWriter":
        self._is_dirty = True
        if self._writer is None:
            heap_size = BULK_HEAP_BYTES if is_bulk else WRITER_HEAP_BYTES
            self._writer = self._index.writer(heap_size=heap_size, num_threads=1)
            self._is_bulk = is_bulk
        return self._writer

    def _commit(self) -> None:
        """Make all writes so far visible to searches."""
        if not self._is_dirty:
            return
        self._writing().commit()
        self._is_dirty = False
        self._index.reload()
        if self._is_bulk or self._index.searcher().num_docs < WRITER_KEPT_FROM:
            # A writer needs a thread and 15 MB, and there may be thousands of small indexes.
            self._close_writer()
            self._index.reload()

    def _close_writer(self) -> None:
        if self._writer is not None:
            self._writer.wait_merging_threads()
            self._writer = None

    def _clause(self, where: Filter | None) -> "tuple[tantivy.Occur, tantivy.Query] | None":
        """Convert `where` to a clause: matching files are required, or the others excluded, whichever are fewer.

        None if all files match.
        """
        if where is None:
            return None
        allowed, file_keys = self._files.allowed(where), self._files.file_keys
        occur, query_of = self._tantivy.Occur, self._tantivy.Query
        if allowed.all():
            return None
        if 2 * np.count_nonzero(allowed) > len(allowed):
            return occur.MustNot, query_of.term_set_query(self._schema, FILE, file_keys[~allowed].tolist())
        in_files = query_of.term_set_query(self._schema, FILE, file_keys[allowed].tolist())
        # Without this, the set of terms would add a score of 1.
        return occur.Must, query_of.const_score_query(in_files, 0.0)

    def _words(self, query: str) -> list[Word]:
        tokens = self._analyzer.pre_tokenize(query).tokens
        return [Word(query[token.char_offset_from : token.char_offset_to].lower(), token.text) for token in tokens]

    def _searched_terms(self, words: Iterable[Word]) -> list[str]:
        content_terms = [word.term for word in words if self._stop_filter.analyze(word.text)]
        return content_terms or [word.term for word in words]

    def _rank(
        self, searcher: "tantivy.Searcher", terms: Iterable[str], clause: Any, k: int, boosts: Mapping[str, float] = {}
    ) -> Ranking:
        """Return the best `k` chunks. `boosts` multiply the scores of terms."""
        occur, query_of = self._tantivy.Occur, self._tantivy.Query
        query = query_of.boolean_query([(occur.Should, self._term_query(term, boosts.get(term))) for term in terms])
        if clause is not None:
            query = query_of.boolean_query([(occur.Must, query), clause])
        hits = searcher.search(query, limit=k, count=False).hits
        keys = searcher.fast_field_values(KEY, [address for _, address in hits])
        return Ranking(np.array(keys, np.int64), np.array([score for score, _ in hits], np.float32))

    def _term_query(self, term: str, boost: float | None = None) -> "tantivy.Query":
        query = self._tantivy.Query.term_query(self._schema, TEXT, term, "freq")
        return query if boost is None else self._tantivy.Query.boost_query(query, boost)


def _link_files(source: Path, target: Path) -> None:
    """Link the files of one folder into another. Tantivy never changes a file."""
    for file in source.iterdir():
        if file.suffix != ".lock":
            link_file(file, target / file.name)


def _analyzer(tantivy: ModuleType) -> "tantivy.TextAnalyzer":
    """Make the analyzer of text: runs of letters and digits, lower-cased, without accents, stemmed."""
    builder, step = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.simple()), tantivy.Filter
    builder = builder.filter(step.remove_long(MAX_WORD_BYTES)).filter(step.lowercase()).filter(step.ascii_fold())
    return builder.filter(step.stemmer("english")).build()


def _stop_filter(tantivy: ModuleType) -> "tantivy.TextAnalyzer":
    """Make the analyzer that returns a lower-cased word unchanged, and nothing for a stop word."""
    builder = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.simple())
    return builder.filter(tantivy.Filter.custom_stopword(list(stop_words.ENGLISH))).build()


def _schema(tantivy: ModuleType) -> "tantivy.Schema":
    builder = tantivy.SchemaBuilder()
    builder.add_integer_field(KEY, indexed=True, fast=True)
    builder.add_integer_field(FILE, indexed=True)
    builder.add_text_field(TEXT, tokenizer_name=ANALYZER, index_option="freq")
    return builder.build()


def _weight(searcher: "tantivy.Searcher", term: str) -> float:
    """Return the term's inverse document frequency among the documents that were not removed."""
    # The frequency counts removed documents until their segment is merged, so it can exceed the number of documents.
    return idf(min(searcher.doc_freq(TEXT, term), searcher.num_docs), searcher.num_docs)
