"""Other people's models by URL: what the kinds `openai`, `cohere`, `jina` and `tei` share."""
