"""`ragserve conformance`: a running service against OpenAI's description of its API."""
