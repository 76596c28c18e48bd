"""Retrieval quality by variant of fusion and reranking, without a service."""
