"""Reranking with vLLM: cross-encoders, and language models that judge whether a document answers, on a GPU."""

from collections.abc import Sequence

from pydantic import Field

from models.errors.model_failures import ModelLoadError
from models.reranking.base import RerankRequest, RerankWork
from models.reranking.logits import sigmoid
from models.reranking.pair_scores import PairScores
from models.tokens.encoding import Encoding
from models.types.arrays import FloatArray
from models.vllm.pooling import VllmPooling, VllmPoolingConfig, load_pooling_tokenizer


class VllmRerankingConfig(VllmPoolingConfig):
    """An entry of kind `vllm`. The three texts are a language model's prompt around query and document.

    Without them, the tokenizer encodes query and document as a pair, for a cross-encoder.
    """

    before_query: str = Field(default="", description="The prompt before the query: system prompt and instruction.")
    before_document: str = Field(default="", description="The prompt between the query and the document.")
    after_document: str = Field(default="", description="The prompt after the document; it is never truncated.")

    @property
    def has_template(self) -> bool:
        return bool(self.before_query or self.before_document or self.after_document)


class VllmRerankingModel:
    """A RerankingModel. A score is the model's logit, or logit(yes) - logit(no). Term weights are ignored."""

    config_class = VllmRerankingConfig
    retrieval_weight = 0.0  # it reads both texts together; no gain from retrieval's order was measured

    def __init__(self, name: str, config: VllmRerankingConfig) -> None:
        """Starts the engine. Raises ModelLoadError."""
        self.name = name
        self._config = config
        self._unfinished = PairScores()
        self._tokenizer = load_pooling_tokenizer(name, config)
        self._pooling = VllmPooling(name, config, "classify")
        warm_up = self.tokenize(RerankRequest("warm", ("up",)))
        num_outputs = self._pooling.run(warm_up.encodings, use_activation=False).shape[1]
        if num_outputs != 1:
            raise ModelLoadError(name, f"it has {num_outputs} outputs; a reranker has one")

    def tokenize(self, request: RerankRequest) -> RerankWork:
        state = self._unfinished.look_up(request)
        return RerankWork(request, tuple(self._encode(request.query, state.missing_texts(request))), state)

    def _encode(self, query: str, texts: list[str]) -> list[Encoding]:
        if not self._config.has_template:
            return self._tokenizer.encode_pairs(query, texts)
        opening = self._config.before_query + query + self._config.before_document
        return self._tokenizer.encode_between(opening, texts, self._config.after_document)

    def forward(self, batch: Sequence[Encoding]) -> list[float]:
        """One logit per pair."""
        return self._pooling.run(batch, use_activation=False)[:, 0].tolist()

    def keep(self, work: RerankWork, place: int, output: float) -> None:
        self._unfinished.keep(work, place, output)

    def finish(self, work: RerankWork, outputs: Sequence[float | None]) -> FloatArray:
        return self._unfinished.finish(work, outputs)

    def to_relevance(self, scores: FloatArray) -> FloatArray:
        """The logits' probabilities."""
        return sigmoid(scores)

    def close(self) -> None:
        """End the engine's process now."""
        self._pooling.close()
