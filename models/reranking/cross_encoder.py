"""Cross-encoders: query and candidate read together by one transformer with one output."""

import threading
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from models.errors import ModelLoadError
from models.reranking.base import RerankRequest
from models.source import SourceConfig, choose_device, choose_dtype, describe_attempts, resolve_source
from models.types import FloatArray

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder


class CrossEncoderConfig(SourceConfig):
    """An entry of kind `cross_encoder`."""

    max_tokens: int = Field(
        default=512, ge=8, le=131_072, description="Tokens of a query and a candidate together; the rest is cut."
    )
    batch_size: int = Field(default=16, ge=1, le=1024, description="Pairs of one forward pass.")


class CrossEncoderModel:
    """A RerankingModel. Term weights are ignored. Calls from several threads take turns."""

    retrieval_weight = 0.0  # it reads both texts together: not measured to gain from retrieval's order

    def __init__(self, name: str, config: CrossEncoderConfig) -> None:
        """Loads the weights. Raises ModelLoadError."""
        self.name = name
        self._config = config
        self._model = _load(name, config)
        self._lock = threading.Lock()

    def score(self, requests: list[RerankRequest]) -> list[FloatArray]:
        pairs = [(request.query, text) for request in requests for text in request.texts]
        scores = self._predict(pairs) if pairs else np.empty(0, np.float32)
        ends = np.cumsum([len(request.texts) for request in requests])
        return np.split(scores, ends[:-1]) if requests else []

    def _predict(self, pairs: list[tuple[str, str]]) -> FloatArray:
        with self._lock:
            scores = self._model.predict(pairs, batch_size=self._config.batch_size, show_progress_bar=False)
        return np.asarray(scores, np.float32)


def _load(name: str, config: CrossEncoderConfig) -> "CrossEncoder":
    from sentence_transformers import CrossEncoder

    source = resolve_source(name, config)
    device = choose_device(config.device)
    try:
        model = CrossEncoder(
            source.location,
            revision=None if source.is_local else source.revision,
            device=device,
            local_files_only=source.is_local,
            model_kwargs={"dtype": choose_dtype(config.dtype, device)},
            max_length=config.max_tokens,
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise ModelLoadError(name, f"tried {describe_attempts(config, source)}: {error}") from error
    if model.num_labels != 1:
        raise ModelLoadError(name, f"it has {model.num_labels} outputs; a reranker has one")
    return model
