"""Text analysis for Milvus' keyword index, with Tantivy's analyzers, so that every kind of Milvus works alike.

Milvus Lite neither stems nor removes accents. Servers drop stop words even from a query with only stop words.
"""

from models.index.analysis import query_words, searched_terms, terms_of


def to_terms(text: str) -> str:
    """Return the terms of a text, separated by spaces. Each is a run of letters and digits."""
    return " ".join(terms_of(text))


def to_query_terms(query: str) -> str:
    """Return the terms of the query's words in every language, without stop words if there are other words."""
    return " ".join(searched_terms(query_words(query)))
