"""Memory of conversations and of users, around the protocols of answers and of retrieval."""
