"""The two paths, query and ingest, in plain async Python: no Ray, no HTTP."""
