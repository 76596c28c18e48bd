"""`ragserve keys`: API keys, in the service's database."""
