"""The HTTP API. Each router has its requests and responses beside it; what routers share has a module of its own.

Routers: chat, completions, dead_letters, embeddings, files, filtered_files, health, mcp, messages, models, query,
rerank, search, store_files, vector_stores. No router imports another. Only errors.py knows status codes.
"""
