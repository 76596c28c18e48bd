"""Memory: what is recalled of a long conversation when its user comes back to a topic."""
