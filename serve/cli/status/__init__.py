"""`ragserve status`: the readiness of the service, and its number of files."""
