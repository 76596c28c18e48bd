"""Access: the API keys of the callers, and their tenants."""
