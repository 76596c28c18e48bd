"""Access: who may do what and how much, by API keys, tokens of an issuer, roles, readers of documents and limits."""
