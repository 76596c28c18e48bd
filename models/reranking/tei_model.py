"""Reranking by Hugging Face's text-embeddings-inference, or a server of the same."""

from models.reranking.remote_reranker import RemoteReranker


class TeiModel(RemoteReranker):
    """A RerankingModel of kind `tei`. The server has one model, so `model` only names it here."""

    def scores_of(self, query: str, texts: list[str]) -> dict[int, float]:
        body = {"query": query, "texts": texts, "raw_scores": False, "truncate": True}
        return {rank["index"]: rank["score"] for rank in self._post("/rerank", body)}
