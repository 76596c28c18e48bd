"""A question set chunked, embedded and searched as the service does it, with the models called directly."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.catalog import Catalog
from models.documents.chunkers.base import ChunkingOptions
from models.documents.file_parser import FileParser
from models.embedding.base import TokenEmbedding, TokenEmbeddingModel, has_token_vectors
from models.embedding.offline import forward_all
from models.errors.requests import InvalidRequestError
from models.generation.evidence import Signals
from models.generation.evidence_weights import MINILM, SPACES, Space
from models.generation.reading import spans_in_indexed_text
from models.index.faiss_config import FaissConfig
from models.index.faiss_index import FaissIndex
from models.index.fusion import Fusion, fuse
from models.index.max_sim import LEAST_SIMILARITY
from models.index.tantivy_index import TantivyIndex
from models.index.token_codec import encode_tokens, max_sim_scores, sentence_scores
from models.reranking.blend import blend
from models.reranking.late_interaction import LateInteractionModel, token_weights
from models.types.arrays import FloatArray, HalfArray, KeyArray
from models.types.chunks import Chunk, Passage
from serve.cli.driver.question_set import Document
from serve.pipelines.retrieve import RetrievalConfig

ALIAS = "minilm"
CONFIG = RetrievalConfig()
WEIGHTS = (CONFIG.dense_weight, CONFIG.lexical_weight)
TOP_K = 5
PAGE = 256  # chunks that are embedded at once


@dataclass(frozen=True)
class OfflineHits:
    """`passages` are the best TOP_K, `ranked` the names of all reranked chunks' documents, each once, best first."""

    passages: tuple[Passage, ...]
    ranked: tuple[str, ...]
    term_weights: dict[str, float]
    sentence_scores: tuple[FloatArray, ...]
    signals: Signals


class OfflineSearch:
    """An embedding model of the catalog, and searches in corpora that it embedded."""

    def __init__(self, alias: str = ALIAS) -> None:
        """Loads the weights. Raises ModelNotFoundError, and InvalidRequestError for a model without token vectors."""
        catalog = Catalog.open()
        model = catalog.load("embedding", alias)
        if not has_token_vectors(model):
            raise InvalidRequestError(f"the catalog's {alias} gives no token vectors; use kind sentence_transformers")
        self.model: TokenEmbeddingModel = model
        self.space = SPACES.get(alias, MINILM)
        self._parser = FileParser(catalog.tokenizer(alias))

    def corpus(self, documents: Sequence[Document]) -> "OfflineCorpus":
        """Chunks, embeds and indexes the documents. Takes about a minute a thousand chunks."""
        chunks = [(document.document_id, chunk) for document in documents for chunk in self._chunks(document)]
        return OfflineCorpus(self.model, chunks, self.space)

    def _chunks(self, document: Document) -> tuple[Chunk, ...]:
        if not document.content.strip():
            return ()
        return self._parser(document.content.encode(), f"{document.document_id}.txt", ChunkingOptions()).chunks

    def questions(self, texts: Sequence[str]) -> list[TokenEmbedding]:
        embeddings: list[TokenEmbedding] = forward_all(self.model.forward_tokens, self.model.tokenize_queries(texts))
        return embeddings


class OfflineCorpus:
    """The chunks of a set's documents: dense and keyword search, fused, reranked by stored token vectors."""

    def __init__(self, model: TokenEmbeddingModel, chunks: Sequence[tuple[str, Chunk]], space: Space = MINILM) -> None:
        self._model, self._chunks, self._space = model, chunks, space
        texts = [chunk.indexed_text for _, chunk in chunks]
        embedded = [
            embedding for start in range(0, len(texts), PAGE) for embedding in self._embed(texts[start:][:PAGE])
        ]
        keys, vectors = np.arange(len(texts)), np.stack([vector for vector, _ in embedded])
        self._codes = [codes for _, codes in embedded]
        self._dense, self._lexical = FaissIndex(model.dim, FaissConfig()), TantivyIndex()
        self._dense.add(keys, keys, vectors)
        self._lexical.add(keys, keys, texts)

    def _embed(self, texts: list[str]) -> list[tuple[FloatArray, bytes]]:
        outputs = forward_all(self._model.forward_tokens, self._model.tokenize_documents(texts))
        return [(output.vector, encode_tokens(output.tokens, starts=output.starts)) for output in outputs]

    def search(self, question: str, embedding: TokenEmbedding) -> OfflineHits:
        [dense] = self._dense.search(embedding.vector[None], CONFIG.candidates)
        lexical = self._lexical.search(question, CONFIG.candidates)
        fused = fuse([dense, lexical.ranking], Fusion(CONFIG.fusion, WEIGHTS)) if len(lexical.ranking) else dense
        candidates = fused.keys[: CONFIG.rerank_candidates]
        weights = token_weights(question, self._model.query_token_spans(question), lexical.term_weights)
        scores = np.nan_to_num(self._max_sim(embedding.tokens, weights, candidates), nan=LEAST_SIMILARITY)
        order = candidates[np.argsort(-blend(scores, LateInteractionModel.retrieval_weight), kind="stable")]
        passages = tuple(self._passage(key) for key in order[:TOP_K].tolist())
        ranked = tuple(dict.fromkeys(self._chunks[key][0] for key in order.tolist()))
        nearest = self._sentences(embedding.tokens, passages)
        signals = Signals(float(np.clip(scores.max(), 0, 1)), float(dense.scores[0]), len(fused.keys), self._space)
        return OfflineHits(passages, ranked, lexical.term_weights, nearest, signals)

    def _max_sim(self, tokens: HalfArray, weights: FloatArray, keys: KeyArray) -> FloatArray:
        return max_sim_scores(tokens, weights, [self._codes[key] for key in keys.tolist()])

    def _sentences(self, tokens: HalfArray, passages: Sequence[Passage]) -> tuple[FloatArray, ...]:
        """MaxSim of each sentence, as in the service: all tokens of the question weigh alike."""
        spans = [spans_in_indexed_text(passage) for passage in passages]
        codes = [self._codes[passage.key] for passage in passages]
        return sentence_scores(tokens, np.ones(len(tokens), np.float32), codes, spans)

    def _passage(self, key: int) -> Passage:
        document_id, chunk = self._chunks[key]
        return Passage(key, str(key), document_id, document_id, chunk.text, chunk.start, chunk.end, chunk.context)
