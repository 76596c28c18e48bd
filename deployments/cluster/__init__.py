"""A local Ray cluster: environment, start, end, the strict deployment schema."""
