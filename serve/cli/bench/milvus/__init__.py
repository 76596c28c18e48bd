"""Milvus as the index: its cost beside FAISS and Tantivy."""
