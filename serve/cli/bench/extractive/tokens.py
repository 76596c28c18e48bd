"""How well the sentences of a case match its question by stored token vectors, as the dense searchers tell it."""

import numpy as np

from models.catalog import Catalog
from models.embedding.base import has_token_vectors
from models.errors.requests import InvalidRequestError
from models.generation.reading import spans_in_indexed_text
from models.index.token_codec import encode_tokens, sentence_scores
from models.types.arrays import FloatArray
from models.types.chunks import Passage


class TokenVectors:
    """Token vectors of passages in the codec's own bits, each encoded once."""

    def __init__(self) -> None:
        """Loads minilm. Raises InvalidRequestError if the catalog's gives no token vectors."""
        model = Catalog.open().load("embedding", "minilm")
        if not has_token_vectors(model):
            raise InvalidRequestError("the catalog's minilm gives no token vectors; use kind sentence_transformers")
        self._model = model
        self._codes: dict[str, bytes] = {}  # by indexed text

    def scores(self, question: str, passages: tuple[Passage, ...]) -> tuple[FloatArray, ...]:
        """For each passage the MaxSim of each of its sentences, as GenerationRequest.sentence_scores."""
        (query,) = self._model.forward_tokens(self._model.tokenize_queries([question]))
        self._encode(passages)
        weights = np.ones(len(query.tokens), np.float32)
        codes = [self._codes[passage.indexed_text] for passage in passages]
        return sentence_scores(query.tokens, weights, codes, [spans_in_indexed_text(passage) for passage in passages])

    def _encode(self, passages: tuple[Passage, ...]) -> None:
        texts = [passage.indexed_text for passage in passages if passage.indexed_text not in self._codes]
        if texts:
            rows = self._model.forward_tokens(self._model.tokenize_documents(texts))
            self._codes |= {
                text: encode_tokens(row.tokens, starts=row.starts) for text, row in zip(texts, rows, strict=True)
            }
