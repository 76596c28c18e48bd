"""A model that does not load, or whose vectors or answers cannot be used."""

from models.errors.base import RagError
from models.errors.stages import StageDownError


class ModelLoadError(RagError):
    code = "model_load_failed"

    def __init__(self, name: str, detail: str) -> None:
        super().__init__(name, detail)
        self.name, self.detail = name, detail

    def __str__(self) -> str:
        return f"model {self.name!r} does not load: {self.detail}"


class UnequalVectorsError(RagError):
    """A fallback of the embedder gives other vectors, so it must not answer. `model` is its alias."""

    code = "unequal_vectors"

    def __init__(self, model: str, detail: str) -> None:
        super().__init__(model, detail)
        self.model, self.detail = model, detail

    def __str__(self) -> str:
        return f"model {self.model!r} does not give the embedder's vectors, so it is no fallback: {self.detail}"


class UnusableVectorError(RagError):
    """A model behind a URL, which embeds other texts, gives a vector for this one that no search can use."""

    code = "unusable_vector"

    def __init__(self, stage: str, model: str, reason: str) -> None:
        super().__init__(stage, model, reason)
        self.stage, self.model, self.reason = stage, model, reason

    def __str__(self) -> str:
        return f"model {self.model!r} gives no usable vector for this text: {self.reason}; change the text or the model"


class ModelUnavailableError(StageDownError):
    """A model behind a URL gives no usable answer. `model` is its alias; `reason` has no address and no text."""

    code = "model_unavailable"

    def __init__(self, stage: str, model: str, reason: str, retry_after_s: float = 5.0) -> None:
        super().__init__(stage, retry_after_s)
        self.args = (stage, model, reason, retry_after_s)
        self.model, self.reason = model, reason

    def __str__(self) -> str:
        return f"model {self.model!r} of the {self.stage} stage: {self.reason}; try again in {self.retry_after_s:g} s"
