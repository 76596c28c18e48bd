"""A router around retrieval: it chooses the searches of a query whose mode is auto."""

import unicodedata
from dataclasses import replace

from models.retrieval.router import route
from models.types.request_context import RequestContext
from serve.pipelines.retrieving import RetrievalQuery, Retrieved, Retrieving
from serve.pipelines.trace import Trace


class RoutedRetrieval:
    """Sends identifiers and quoted phrases to the keyword search; to both searches if that finds nothing."""

    def __init__(self, retrieval: Retrieving) -> None:
        self._retrieval = retrieval

    async def retrieve(self, query: RetrievalQuery, context: RequestContext, trace: Trace | None = None) -> Retrieved:
        # A Mac may send decomposed letters, which neither the router nor an embedding model takes for letters.
        if not unicodedata.is_normalized("NFC", query.text):
            query = replace(query, text=unicodedata.normalize("NFC", query.text))
        if query.options.mode != "auto":
            return await self._retrieval.retrieve(query, context, trace)
        trace = trace or Trace()
        hybrid = replace(query, options=replace(query.options, mode="hybrid"))
        chosen = route(query.text)
        if chosen.mode != "lexical":
            return await self._retrieval.retrieve(hybrid, context, trace)
        # A question for an identifier is answered by the passages that contain it, in the keyword search's order.
        options = replace(query.options, mode="lexical", rerank=False)
        lexical = replace(query, options=options, phrases=chosen.phrases)
        retrieved = await self._retrieval.retrieve(lexical, context, trace)
        if retrieved.num_candidates:
            return retrieved
        return await self._retrieval.retrieve(hybrid, context, trace)
