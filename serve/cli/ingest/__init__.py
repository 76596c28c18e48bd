"""`ragserve ingest`: upload files and folders into a vector store; in bulk/, any number of them."""
