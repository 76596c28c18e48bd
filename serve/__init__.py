"""Layer 3, the application: the graph (app.py), its HTTP API (ingress.py, api/) and the request paths (pipelines/)."""
