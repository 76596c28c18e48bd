"""Tantivy called directly: BM25 over English stems, without stop words in the question, as ragserve's own index."""

from collections.abc import Iterable
from typing import Any

from models.languages import stop_words

KEY, TEXT, ANALYZER = "key", "text", "words"
MAX_WORD_BYTES = 40
HEAP_BYTES = 150_000_000


class RawWords:
    """An index of texts with keys 1 to n."""

    def __init__(self, texts: Iterable[str]) -> None:
        import tantivy

        self._tantivy: Any = tantivy
        self._question_analyzer = self._analyzer(drops_stop_words=True)
        builder = tantivy.SchemaBuilder()
        builder.add_integer_field(KEY, stored=False, fast=True)
        builder.add_text_field(TEXT, tokenizer_name=ANALYZER, index_option="freq")
        self._schema = builder.build()
        self._index: Any = tantivy.Index(self._schema)
        self._index.register_tokenizer(ANALYZER, self._analyzer(drops_stop_words=False))
        self._fill(texts)
        self._searcher = self._index.searcher()

    def search(self, question: str, k: int) -> list[int]:
        """The keys of the best `k` texts."""
        query_of, should = self._tantivy.Query, self._tantivy.Occur.Should
        terms = dict.fromkeys(self._question_analyzer.analyze(question))
        clauses = [(should, query_of.term_query(self._schema, TEXT, term, "freq")) for term in terms]
        hits = self._searcher.search(query_of.boolean_query(clauses), limit=k, count=False).hits
        keys: list[int] = self._searcher.fast_field_values(KEY, [address for _, address in hits])
        return keys

    def _analyzer(self, drops_stop_words: bool) -> Any:
        step = self._tantivy.Filter
        builder = self._tantivy.TextAnalyzerBuilder(self._tantivy.Tokenizer.simple())
        builder = builder.filter(step.remove_long(MAX_WORD_BYTES)).filter(step.lowercase())
        if drops_stop_words:
            builder = builder.filter(step.custom_stopword(list(stop_words.ENGLISH)))
        return builder.filter(step.ascii_fold()).filter(step.stemmer("english")).build()

    def _fill(self, texts: Iterable[str]) -> None:
        writer = self._index.writer(heap_size=HEAP_BYTES, num_threads=1)
        for key, text in enumerate(texts, 1):
            document = self._tantivy.Document()
            document.add_integer(KEY, key)
            document.add_text(TEXT, text)
            writer.add_document(document)
        writer.commit()
        writer.wait_merging_threads()
        self._index.reload()
