"""`ragserve ingest`: files and folders into a vector store."""
