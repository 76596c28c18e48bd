"""More searches for a question: other wordings of it, or a made-up passage. Their passages are merged by rank."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from models.errors.base import RagError
from models.errors.requests import InvalidRequestError
from models.generation import query_variants
from models.generation.reading import sentences
from models.index.fusion import Fusion, fuse, ranking_of
from models.prompts.library import default_prompts
from models.prompts.prompt_set import PromptSet
from models.types.arrays import FloatArray
from models.types.chunks import Passage
from models.types.request_context import RequestContext
from serve.pipelines.failures import attempt
from serve.pipelines.language_model import LanguageModel
from serve.pipelines.retrieving import RetrievalQuery, Retrieved, Retrieving
from serve.pipelines.trace import Search, SearchKind, Trace
from serve.pipelines.understanding import NO_UNDERSTANDING, UnderstandingConfig, is_chosen


class _FurtherRetrieval:
    """What both have."""

    def __init__(
        self,
        retrieval: Retrieving,
        config: UnderstandingConfig,
        model: LanguageModel | None = None,
        prompts: PromptSet | None = None,
    ) -> None:
        """`prompts` are those of the model; None: the default ones."""
        self._retrieval, self._config, self._model = retrieval, config, model
        self._texts = (prompts or default_prompts()).texts.understanding


class MultiQueryRetrieval(_FurtherRetrieval):
    """Searches other wordings of a question too, if that is switched on: a language model's, else its keywords."""

    async def retrieve(self, query: RetrievalQuery, context: RequestContext, trace: Trace | None = None) -> Retrieved:
        """As Retrieving."""
        if not is_chosen(query.options.understanding.multi_query, self._config.multi_query):
            return await self._retrieval.retrieve(query, context, trace)
        own, variants = await asyncio.gather(
            attempt(self._retrieval.retrieve(query, context, trace)), self._variants(query.text, context)
        )
        if isinstance(own, RagError):
            raise own
        options = replace(query.options, understanding=NO_UNDERSTANDING)
        queries = [replace(query, text=variant, options=options) for variant in variants]
        return await _with(self._retrieval, own, queries, "variant", context)

    async def _variants(self, question: str, context: RequestContext) -> tuple[str, ...]:
        if self._model is None:
            return query_variants.keyword_variants(question)
        messages = query_variants.wording_messages(question, self._config.num_variants, self._texts)
        written = await self._model.ask(messages, "variants", query_variants.MAX_TOKENS, context)
        return query_variants.read_variants(written, question, self._config.num_variants)


class HydeRetrieval(_FurtherRetrieval):
    """Searches a passage that a language model makes up for a question too, if that is switched on.

    Source: Gao et al., arXiv 2212.10496. The passage is searched by its vector alone, and never shown.
    """

    async def retrieve(self, query: RetrievalQuery, context: RequestContext, trace: Trace | None = None) -> Retrieved:
        """As Retrieving. Raises InvalidRequestError without a language model."""
        if not is_chosen(query.options.understanding.hyde, self._config.hyde):
            return await self._retrieval.retrieve(query, context, trace)
        if self._model is None:
            problem = "hyde needs a language model: set query.understanding.model in serve_config.yaml, or leave it out"
            raise InvalidRequestError(problem, "query_understanding.hyde")
        messages = query_variants.passage_messages(query.text, self._texts)
        own, written = await asyncio.gather(
            attempt(self._retrieval.retrieve(query, context, trace)),
            self._model.ask(messages, "hyde", query_variants.MAX_TOKENS, context),
        )
        if isinstance(own, RagError):
            raise own
        passage = query_variants.read_passage(written)
        options = replace(query.options, mode="dense", rerank=False, understanding=NO_UNDERSTANDING)
        queries = [replace(query, text=passage, options=options, sentences=False)] if passage else []
        return await _with(self._retrieval, own, queries, "hypothetical", context)


async def _with(
    retrieval: Retrieving, own: Retrieved, queries: Sequence[RetrievalQuery], kind: SearchKind, context: RequestContext
) -> Retrieved:
    """What was retrieved for a question, and for further texts. A search that fails adds nothing."""
    if not queries:
        return own
    trace = own.trace
    trace.searches += [Search(kind, query.text) for query in queries]
    with trace.timed(kind):
        results = await asyncio.gather(*(attempt(retrieval.retrieve(query, context)) for query in queries))
    further = [result for result in results if isinstance(result, Retrieved)]
    return _merged(own, further, queries[0].top_k) if further else own


def _merged(own: Retrieved, further: Sequence[Retrieved], top_k: int) -> Retrieved:
    """The passages by reciprocal rank fusion. Their evidence is to be weighed anew."""
    every = [own, *further]
    passages, scores = dict[int, Passage](), dict[int, FloatArray]()
    for retrieved in reversed(every):  # the question's own scores win
        passages |= {passage.key: passage for passage in retrieved.passages}
        of_keys = zip(retrieved.passages, retrieved.sentence_scores or (), strict=False)
        scores |= {passage.key: of_passage for passage, of_passage in of_keys}
    fused = fuse([ranking_of(retrieved.passages) for retrieved in every], Fusion("rrf"))
    keys = fused.keys.tolist()[:top_k]
    best = tuple(passages[key].scored(score) for key, score in zip(keys, fused.scores.tolist(), strict=False))
    of_best = tuple(scores.get(passage.key, _unknown(passage)) for passage in best)
    num_candidates = max(retrieved.num_candidates for retrieved in every)
    return replace(
        own,
        passages=best,
        sentence_scores=of_best if own.sentence_scores else (),
        num_candidates=num_candidates,
        evidence=None,
    )


def _unknown(passage: Passage) -> FloatArray:
    return np.full(len(sentences(passage.text)), np.nan, np.float32)
