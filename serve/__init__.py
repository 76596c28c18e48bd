"""Layer 3, the application: the graph (app.py), its HTTP face (ingress.py, api/) and the request paths (pipelines/)."""
