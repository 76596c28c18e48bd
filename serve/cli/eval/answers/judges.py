"""Whether citations support the sentences that cite them: by words and vectors, or by a model of the catalog."""

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from models.catalog import Catalog
from models.embedding.offline import embed_documents
from models.errors.requests import InvalidRequestError
from models.generation.support import has_numbers, is_supported
from models.prompts.library import default_prompts
from models.reranking.base import RerankRequest
from models.reranking.offline import score
from models.types.arrays import FloatArray
from models.types.chunks import Passage
from serve.cli.eval.answers.outcome import Claim

# Cosine of a sentence and its citation, by MiniLM, from which it counts as supported without enough common words.
MIN_COSINE = 0.8

Vectors = Callable[[list[str]], FloatArray]
Reply = Callable[[str], str]


class Judge(Protocol):
    def supports(self, claims: Sequence[Claim]) -> list[bool]:
        """Whether the quotes of each claim support it. A claim without a quote has no support."""


class OverlapJudge:
    """By words and numbers, as an answer's `unsupported`; where the words are too few, by the vectors' cosine."""

    def __init__(self, vectors: Vectors) -> None:
        """`vectors` gives a unit vector a text."""
        self._vectors = vectors

    def supports(self, claims: Sequence[Claim]) -> list[bool]:
        return [bool(claim.quotes) and (_by_words(claim) or self._by_vectors(claim)) for claim in claims]

    def _by_vectors(self, claim: Claim) -> bool:
        if not has_numbers(claim.text, _quote(claim)):
            return False
        own, *quotes = self._vectors([claim.text, *claim.quotes])
        return max(float(own @ quote) for quote in quotes) >= MIN_COSINE


class RerankingJudge:
    """By a cross-encoder of the catalog: one trained for entailment, or for relevance. Its logit must be above 0."""

    def __init__(self, alias: str) -> None:
        """Loads the model. Raises ModelNotFoundError, ModelLoadError."""
        self._model = Catalog.open().load("reranking", alias)

    def supports(self, claims: Sequence[Claim]) -> list[bool]:
        cited = [claim for claim in claims if claim.quotes]
        logits = score(self._model, [RerankRequest(claim.text, (" ".join(claim.quotes),)) for claim in cited])
        supported = iter(bool(logit[0] > 0) for logit in logits)
        return [bool(claim.quotes) and next(supported) for claim in claims]


class ChatJudge:
    """By a language model that says yes or no. Any other reply counts as no."""

    def __init__(self, reply: Reply) -> None:
        self._reply = reply

    def supports(self, claims: Sequence[Claim]) -> list[bool]:
        return [bool(claim.quotes) and self._says_yes(claim) for claim in claims]

    def _says_yes(self, claim: Claim) -> bool:
        prompt = default_prompts().texts.judge.format(passage=" ".join(claim.quotes), statement=claim.text)
        return self._reply(prompt).strip().lower().startswith("yes")


def open_judge(alias: str | None, reply: Reply | None) -> Judge:
    """The judge of an alias; None: by overlap. `reply` asks the running service's model. Raises InvalidRequestError."""
    if alias is None:
        return OverlapJudge(minilm_vectors())
    catalog = Catalog.open()
    if alias in catalog.names("reranking"):
        return RerankingJudge(alias)
    if reply is None or alias not in catalog.names("generation") or catalog.only_quotes(alias):
        raise InvalidRequestError(
            f"{alias!r} cannot judge here; name a cross-encoder of the catalog, or the language model of a --url",
            "judge",
        )
    return ChatJudge(reply)


def minilm_vectors() -> Vectors:
    """The default embedding model, loaded at the first use."""
    models: list[object] = []

    def vectors(texts: list[str]) -> FloatArray:
        if not models:
            models.append(Catalog.open().load("embedding", "minilm"))
        return np.asarray(embed_documents(models[0], texts))  # type: ignore[arg-type]

    return vectors


def _by_words(claim: Claim) -> bool:
    return is_supported(claim.text, (_quote(claim),))


def _quote(claim: Claim) -> Passage:
    text = " ".join(claim.quotes)
    return Passage(0, "", "", "", text, 0, len(text))
