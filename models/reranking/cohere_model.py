"""Reranking by Cohere's API, version 2, or a server of the same."""

from models.reranking.remote_reranker import RemoteReranker


class CohereModel(RemoteReranker):
    """A RerankingModel of kind `cohere`. `base_url` has no version."""

    def scores_of(self, query: str, texts: list[str]) -> dict[int, float]:
        body = {"model": self._config.model, "query": query, "documents": texts, "top_n": len(texts)}
        results = self._post("/v2/rerank", body)["results"]
        return {result["index"]: result["relevance_score"] for result in results}
