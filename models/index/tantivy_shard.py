"""One shard of a keyword index: Tantivy's BM25 with the counts of all shards.

Tantivy takes all counts from the index itself. A boost corrects each term's inverse document frequency, and ballast the
mean length. An index in memory is scored here instead: small shards differ most from each other.
"""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from models.filters import Filter
from models.index.analysis import Word, query_words, searched_terms, terms_of
from models.index.ballast import LONG_WORD, SHORT_WORD, WORDS, Ballast, IndexSize, ballast_for
from models.index.bm25 import WordCounts, scores
from models.index.tantivy_counts import read_size
from models.index.tantivy_index import TEXT, TantivyIndex, word_weights
from models.types.arrays import KeyArray
from models.types.ranking import LexicalRanking, Ranking

if TYPE_CHECKING:
    import tantivy


class TantivyShard(TantivyIndex):
    """A ShardIndex and Snapshotting."""

    def __init__(self) -> None:
        super().__init__()
        self._size: IndexSize | None = None  # read again after a commit
        self._term_counts: dict[int, Counter[str]] = {}  # by key, of texts in memory that were scored

    def count(self, query: str) -> WordCounts:
        with self._lock:
            self._commit()
            counts = self._scoring_counts(self._words(query))
            ballast = self._ballast(self._index.searcher())
        return counts.without(ballast.num_documents, ballast.num_tokens)

    def search_with(self, counts: WordCounts, query: str, k: int, where: Filter | None = None) -> LexicalRanking:
        with self._lock:
            self._commit()
            words = self._words(query, counts.languages)
            self._balance(self._scoring_counts(words), counts.mean_length)
            clause, searcher, own = self._clause(where), self._index.searcher(), self._scoring_counts(words)
        weights = word_weights(words, counts.weight)
        terms = searched_terms(words)
        if k < 1 or not terms or not searcher.num_docs:
            return LexicalRanking(Ranking.empty(), weights)
        if self._folder is None:
            return LexicalRanking(self._rank_in_memory(searcher, terms, clause, k, counts), weights)
        boosts = {term: counts.score_weight(term) / own.score_weight(term) for term in terms}
        return LexicalRanking(self._rank(searcher, terms, clause, k, boosts), weights)

    def remove(self, keys: KeyArray) -> None:
        super().remove(keys)
        for key in keys.tolist():
            self._term_counts.pop(key, None)

    def load(self, folder: Path) -> None:
        super().load(folder)
        self._size = None

    def __len__(self) -> int:
        num_documents = super().__len__()
        return num_documents - self._ballast(self._index.searcher()).num_documents

    def _commit(self) -> None:
        if self._is_dirty:
            self._size = None
        super()._commit()

    def _words(self, query: str, of_all_shards: Iterable[str] = ()) -> list[Word]:
        languages = tuple(dict.fromkeys((*self._indexed_languages(), *sorted(of_all_shards))))
        return [word for word in query_words(query, languages) if WORDS.isdisjoint(word.terms)]

    def _move_to_folder(self, is_bulk: bool = False) -> Path:
        self._term_counts = {}
        return super()._move_to_folder(is_bulk)

    def _scoring_counts(self, words: Iterable[Word]) -> WordCounts:
        """Return the counts that Tantivy scores with, ballast included."""
        searcher = self._index.searcher()
        num_with = {term: searcher.doc_freq(TEXT, term) for word in words for term in word.terms}
        if self._size is None:
            self._size = read_size(self._tantivy, searcher, self._schema, TEXT, num_with)
        languages = frozenset(self._indexed_languages())
        return WordCounts(searcher.num_docs, self._size.num_documents, self._size.num_tokens, num_with, languages)

    def _ballast(self, searcher: "tantivy.Searcher") -> Ballast:
        return Ballast(searcher.doc_freq(TEXT, SHORT_WORD), searcher.doc_freq(TEXT, LONG_WORD))

    def _balance(self, own: WordCounts, mean_length: float) -> None:
        """Add the ballast that gives an index in a folder this mean length."""
        if self._folder is None or not own.num_chunks:
            return
        missing = ballast_for(IndexSize(own.num_indexed, own.num_tokens), mean_length)
        if not missing.num_documents:
            return
        writer = self._writing()
        for text in missing.texts():
            document = self._tantivy.Document()
            document.add_text(TEXT, text)
            writer.add_document(document)
        self._commit()

    def _rank_in_memory(
        self, searcher: "tantivy.Searcher", terms: list[str], clause: Any, k: int, counts: WordCounts
    ) -> Ranking:
        keys = self._rank(searcher, terms, clause, searcher.num_docs).keys
        texts = {key: entry.text for key in keys.tolist() if (entry := self._in_memory.get(key)) is not None}
        for key in texts.keys() - self._term_counts.keys():
            self._term_counts[key] = Counter(terms_of(texts[key]))
        all_scores = np.array(scores([self._term_counts[key] for key in texts], terms, counts), np.float32)
        best_first = np.argsort(-all_scores, kind="stable")[:k]
        return Ranking(np.array(list(texts), np.int64)[best_first], all_scores[best_first])
