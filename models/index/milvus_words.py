"""Text analysis for Milvus' keyword index, with Tantivy's analyzer, so that every kind of Milvus works alike.

Milvus Lite neither stems nor removes accents. Servers drop stop words even from a query with only stop words.
"""

from functools import cache
from typing import TYPE_CHECKING

from models.index import stop_words

if TYPE_CHECKING:
    import tantivy

MAX_WORD_BYTES = 40  # Tantivy's default; longer words are hashes and base64


def to_terms(text: str) -> str:
    """Return the lower-cased stems of the words, without accents, separated by spaces."""
    return " ".join(token.text for token in _analyzer().pre_tokenize(text).tokens)


def to_query_terms(query: str) -> str:
    """Return the terms of `to_terms` without stop words. A query with only stop words keeps them."""
    tokens = _analyzer().pre_tokenize(query).tokens
    words = [(query[token.char_offset_from : token.char_offset_to].lower(), token.text) for token in tokens]
    content = [term for word, term in words if word not in stop_words.ENGLISH]
    return " ".join(content or [term for _, term in words])


@cache
def _analyzer() -> "tantivy.TextAnalyzer":
    import tantivy

    builder, step = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.simple()), tantivy.Filter
    builder = builder.filter(step.remove_long(MAX_WORD_BYTES)).filter(step.lowercase()).filter(step.ascii_fold())
    return builder.filter(step.stemmer("english")).build()
