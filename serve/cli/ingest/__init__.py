"""`ragserve ingest`: upload files and folders into a vector store."""
