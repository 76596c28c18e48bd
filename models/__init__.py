"""Layer 1, computation: what a replica holds in memory. Never imports Ray, FastAPI or os.environ."""
