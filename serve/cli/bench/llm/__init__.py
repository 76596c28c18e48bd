"""`ragserve bench llm`: a language model of the catalog, asked with the prompt of the service."""
