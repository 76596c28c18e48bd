"""`ragserve bench ingest`: files a second of the service, of the embedder alone, and of other libraries."""
