"""Cross-encoders: one transformer reads query and candidate together and has one output."""

from collections.abc import Sequence

from pydantic import Field

from models.embedding.transformer import (
    TransformerConfig,
    calling_threads,
    encoder_tokenizer,
    has_type_ids,
    load_cross_encoder,
    padded_features,
    runs_on,
)
from models.reranking.base import RerankRequest, RerankWork
from models.reranking.logits import sigmoid
from models.reranking.pair_scores import PairScores
from models.tokens.encoding import Encoding
from models.types.arrays import FloatArray


class CrossEncoderConfig(TransformerConfig):
    """An entry of kind `cross_encoder`."""

    max_tokens: int = Field(
        default=512,
        ge=8,
        le=131_072,
        description="Most tokens of a query and a candidate; longer pairs are cut.",
    )


class CrossEncoderModel:
    """A RerankingModel. A score is the model's logit. Term weights are ignored."""

    config_class = CrossEncoderConfig
    retrieval_weight = 0.0  # it reads both texts together; no gain from retrieval's order was measured

    def __init__(self, name: str, config: CrossEncoderConfig) -> None:
        """Loads the weights. Raises ModelLoadError."""
        self.name = name
        self._model = load_cross_encoder(name, config, config.max_tokens)
        self.runs_on, self.passes_at_once = runs_on(config), calling_threads(config)
        self._tokenizer = encoder_tokenizer(name, self._model.tokenizer, config.max_tokens)
        self._unfinished = PairScores()
        self._has_types = has_type_ids(self._model.tokenizer)

    def tokenize(self, request: RerankRequest) -> RerankWork:
        state = self._unfinished.look_up(request)
        encodings = self._tokenizer.encode_pairs(request.query, state.missing_texts(request))
        return RerankWork(request, tuple(encodings), state)

    def forward(self, batch: Sequence[Encoding]) -> list[float]:
        """One logit per pair."""
        import torch

        with torch.inference_mode():
            features = padded_features(batch, self._tokenizer.pad_id, self._model.device, self._has_types)
            return self._model(features)["scores"].float().flatten().tolist()

    def keep(self, work: RerankWork, place: int, output: float) -> None:
        self._unfinished.keep(work, place, output)

    def finish(self, work: RerankWork, outputs: Sequence[float | None]) -> FloatArray:
        return self._unfinished.finish(work, outputs)

    def to_relevance(self, scores: FloatArray) -> FloatArray:
        """The logits' probabilities: cross-encoders are trained with a sigmoid on top."""
        return sigmoid(scores)
