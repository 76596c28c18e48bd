"""Reranking by Jina's API, or a server of the same, such as vLLM."""

from models.reranking.remote_reranker import RemoteReranker


class JinaModel(RemoteReranker):
    """A RerankingModel of kind `jina`. `base_url` ends with the version, as in https://api.jina.ai/v1."""

    def scores_of(self, query: str, texts: list[str]) -> dict[int, float]:
        body = {"model": self._config.model, "query": query, "documents": texts, "top_n": len(texts)}
        results = self._post("/rerank", body | {"return_documents": False})["results"]
        return {result["index"]: result["relevance_score"] for result in results}
