"""`ragserve ingest --bulk`: stream folders, object storage and rows of tables into a running service."""
