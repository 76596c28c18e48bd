"""Keyword search with Tantivy: BM25 on the terms that analysis.py makes of texts and queries."""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from models.errors.requests import ConflictError
from models.filters import Attributes, Filter
from models.index import analysis
from models.index.analysis import AnalyzedText, Word, english_analyzer, query_words, searched_terms
from models.index.attributes import FileAttributes
from models.index.attributes_snapshot import read_state, write_state
from models.index.bm25 import idf
from models.index.private_folder import link_file, private_folder
from models.languages.detection import ENGLISH, LANGUAGES
from models.types.arrays import KeyArray
from models.types.ranking import LexicalRanking, Ranking

if TYPE_CHECKING:
    import tantivy

KEY, FILE, TEXT, LANGUAGE, ANALYZER = "key", "file", "text", "language", "words"
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
FILES_FOLDER, SNAPSHOT_KIND = "words", {"index": "tantivy", "analysis": analysis.VERSION}


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
        self._schema = _schema(tantivy)
        self._folder: Path | None = None
        self._in_memory: dict[int, _Entry] = {}  # by key, to fill a folder later
        self._index = self._open()
        self._writer: tantivy.IndexWriter | None = None  # open while there are uncommitted writes
        self._is_dirty = self._is_bulk = False
        self._languages: tuple[str, ...] = ()  # of the texts; read again after a commit
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
        num_docs = searcher.num_docs
        weights = word_weights(words, lambda terms: _weight(searcher, num_docs, terms))
        terms = searched_terms(words)
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
            self._folder, self._index, self._languages = own_folder, index, ()
            self._files.set(attributes)

    def __len__(self) -> int:
        with self._lock:
            self._commit()
            return int(self._index.searcher().num_docs)

    def _open(self, folder: Path | None = None) -> "tantivy.Index":
        index = self._tantivy.Index(self._schema, path=str(folder) if folder else None)
        index.register_tokenizer(ANALYZER, english_analyzer())
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
            self._add_text(document, analysis.analyze(entry.text))
            writer.add_document(document)

    def _add_text(self, document: "tantivy.Document", text: AnalyzedText) -> None:
        if text.language == ENGLISH:
            document.add_text(TEXT, text.words)
            return
        document.add_text(LANGUAGE, text.language)
        tokens = [self._tantivy.Token(term, place, 0, 0) for place, term in enumerate(text.terms)]
        document.add_pre_tokenized_text(TEXT, self._tantivy.PreTokenizedString("", tokens))

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
        self._is_dirty, self._languages = False, ()
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
        return query_words(query, self._indexed_languages())

    def _indexed_languages(self) -> tuple[str, ...]:
        """English, and each other language that a text is in."""
        if not self._languages:
            searcher = self._index.searcher()
            foreign = [name for name in LANGUAGES if name != ENGLISH and searcher.doc_freq(LANGUAGE, name)]
            self._languages = (ENGLISH, *foreign)
        return self._languages

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


def _schema(tantivy: ModuleType) -> "tantivy.Schema":
    builder = tantivy.SchemaBuilder()
    builder.add_integer_field(KEY, indexed=True, fast=True)
    builder.add_integer_field(FILE, indexed=True)
    builder.add_text_field(TEXT, tokenizer_name=ANALYZER, index_option="freq")
    builder.add_text_field(LANGUAGE, tokenizer_name="raw", index_option="basic")
    return builder.build()


def word_weights(words: Iterable[Word], weight: Callable[[Sequence[str]], float]) -> dict[str, float]:
    """Return each word's weight: the highest, for a word that also has a term as a name."""
    weights: dict[str, float] = {}
    for word in words:
        weights[word.text] = max(weights.get(word.text, 0.0), weight(word.terms))
    return weights


def _weight(searcher: "tantivy.Searcher", num_docs: int, terms: Sequence[str]) -> float:
    """Return a word's inverse document frequency among the `num_docs` documents that were not removed."""
    num_with = sum([searcher.doc_freq(TEXT, term) for term in terms])
    # The frequency counts removed documents until their segment is merged, so it can exceed the number of documents.
    return idf(min(num_with, num_docs), num_docs)
