"""The API's description, OpenAPI 3.1: what the framework cannot read from the routes is added here."""
