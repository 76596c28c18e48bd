"""Caches of answers, retrieval and query embeddings. Each wraps a protocol of serve/pipelines."""
