"""Words as Milvus' keyword index keeps them: Tantivy's analysis, done here, the same for each kind of Milvus.

Milvus Lite neither stems nor folds accents, and servers drop stop words even from a query that has no others.
"""

from functools import cache
from typing import TYPE_CHECKING

from models.index import stop_words

if TYPE_CHECKING:
    import tantivy

MAX_WORD_BYTES = 40  # Tantivy's own default; longer runs are hashes and base64


def to_terms(text: str) -> str:
    """Lower-cased stems of runs of letters and digits, without accents, with spaces between."""
    return " ".join(token.text for token in _analyzer().pre_tokenize(text).tokens)


def to_query_terms(query: str) -> str:
    """As `to_terms`, without stop words unless there are no others."""
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
