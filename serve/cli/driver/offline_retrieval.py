"""The service's protocol of retrieval over one corpus in memory."""

from models.types.request_context import RequestContext
from serve.cli.driver.offline_search import ALIAS, OfflineCorpus, OfflineSearch
from serve.pipelines.retrieving import RetrievalQuery, Retrieved
from serve.pipelines.trace import Trace


class OfflineRetrieval:
    """Satisfies Retrieving, over one corpus."""

    def __init__(self, search: OfflineSearch, corpus: OfflineCorpus) -> None:
        self._search, self._corpus = search, corpus

    async def retrieve(self, query: RetrievalQuery, context: RequestContext, trace: Trace | None = None) -> Retrieved:
        """As Retrieving."""
        trace = trace or Trace()
        [embedding] = self._search.questions([query.text])
        hits = self._corpus.search(query.text, embedding)
        trace.models["embed"] = ALIAS
        passages = hits.passages[: query.top_k]
        return Retrieved(passages, hits.term_weights, trace, len(passages), hits.sentence_scores, hits.signals)
