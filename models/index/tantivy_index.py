"""Keyword search with Tantivy: BM25 over English stems, in memory or in a folder."""

import math
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from models.errors import ConflictError
from models.index import stop_words
from models.types import KeyArray, LexicalRanking, Ranking

if TYPE_CHECKING:
    import tantivy

KEY, TEXT, ANALYZER = "key", "text", "words"
# Tantivy's least heap for one thread. Measured: a commit of one document takes 1.9 ms with it, 4.8 ms with 50 MB.
WRITER_HEAP_BYTES = 15_000_000
MAX_WORD_BYTES = 40  # Tantivy's own default; longer runs are hashes and base64


@dataclass(frozen=True)
class Word:
    """A word of a query: as written, lower-cased, and the term that the index knows it by."""

    text: str
    term: str


class TantivyIndex:
    """A LexicalIndex. Writes are committed by the next search, so that many small ones share one commit.

    All words are indexed, so that each has a document frequency; a query drops its stop words unless it
    has no others.
    """

    def __init__(self, folder: Path | None = None) -> None:
        """In memory, or in `folder`, which must exist. Raises ConflictError if another writer holds it."""
        import tantivy

        self._tantivy = tantivy
        self._analyzer = _analyzer(tantivy)
        self._stop_filter = _stop_filter(tantivy)
        self._schema = _schema(tantivy)
        self._index = tantivy.Index(self._schema, path=str(folder) if folder else None)
        self._index.register_tokenizer(ANALYZER, self._analyzer)
        # Reload by hand, after our own commit: the watcher of the default policy makes each commit 40 times slower.
        self._index.config_reader("manual")
        self._writer = self._open_writer(folder)
        self._lock = threading.Lock()
        self._is_dirty = True

    def _open_writer(self, folder: Path | None) -> "tantivy.IndexWriter":
        try:
            return self._index.writer(heap_size=WRITER_HEAP_BYTES, num_threads=1)
        except ValueError as error:
            raise ConflictError(f"the keyword index at {folder} has another writer: {error}") from error

    def add(self, keys: KeyArray, texts: list[str]) -> None:
        with self._lock:
            for key, text in zip(keys.tolist(), texts, strict=True):
                document = self._tantivy.Document()
                document.add_integer(KEY, key)
                document.add_text(TEXT, text)
                self._writer.add_document(document)
            self._is_dirty = True

    def remove(self, keys: KeyArray) -> None:
        with self._lock:
            for key in keys.tolist():
                self._writer.delete_documents_by_term(KEY, key)
            self._is_dirty = True

    def commit(self) -> None:
        """Makes every write so far visible, and durable if there is a folder."""
        with self._lock:
            if self._is_dirty:
                self._writer.commit()
                self._index.reload()
                self._is_dirty = False

    def search(self, query: str, k: int) -> LexicalRanking:
        self.commit()
        words, searcher = self._words(query), self._index.searcher()
        weights = {word.text: _idf(searcher, word.term) for word in words}
        terms = self._searched_terms(words)
        if not terms or not searcher.num_docs:
            return LexicalRanking(Ranking.empty(), weights)
        return LexicalRanking(self._rank(searcher, terms, k), weights)

    def _words(self, query: str) -> list[Word]:
        tokens = self._analyzer.pre_tokenize(query).tokens
        return [Word(query[t.char_offset_from : t.char_offset_to].lower(), t.text) for t in tokens]

    def _searched_terms(self, words: Iterable[Word]) -> list[str]:
        content = [word.term for word in words if self._stop_filter.analyze(word.text)]
        return content or [word.term for word in words]

    def _rank(self, searcher: "tantivy.Searcher", terms: list[str], k: int) -> Ranking:
        query_of, should = self._tantivy.Query, self._tantivy.Occur.Should
        clauses = [(should, query_of.term_query(self._schema, TEXT, term, "freq")) for term in terms]
        hits = searcher.search(query_of.boolean_query(clauses), limit=k, count=False).hits
        keys = searcher.fast_field_values(KEY, [address for _, address in hits])
        return Ranking(np.array(keys, np.int64), np.array([score for score, _ in hits], np.float32))

    def __len__(self) -> int:
        self.commit()
        return int(self._index.searcher().num_docs)


def _analyzer(tantivy: ModuleType) -> "tantivy.TextAnalyzer":
    """Text to terms: runs of letters and digits, lower-cased, without accents, stemmed."""
    builder, step = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.simple()), tantivy.Filter
    builder = builder.filter(step.remove_long(MAX_WORD_BYTES)).filter(step.lowercase()).filter(step.ascii_fold())
    return builder.filter(step.stemmer("english")).build()


def _stop_filter(tantivy: ModuleType) -> "tantivy.TextAnalyzer":
    """A lower-cased word to itself, or to nothing if it is a stop word."""
    builder = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.simple())
    return builder.filter(tantivy.Filter.custom_stopword(list(stop_words.ENGLISH))).build()


def _schema(tantivy: ModuleType) -> "tantivy.Schema":
    builder = tantivy.SchemaBuilder()
    builder.add_integer_field(KEY, indexed=True, fast=True)
    builder.add_text_field(TEXT, tokenizer_name=ANALYZER, index_option="freq")
    return builder.build()


def _idf(searcher: "tantivy.Searcher", term: str) -> float:
    """ln(1 + (N - df + 0.5) / (df + 0.5)), as BM25 has it: N documents, df of them with the term."""
    num_docs = searcher.num_docs
    # df still counts removed documents whose segment has not been merged, so it can pass N.
    df = min(searcher.doc_freq(TEXT, term), num_docs)
    return math.log(1 + (num_docs - df + 0.5) / (df + 0.5))
