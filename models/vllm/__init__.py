"""vLLM engines for generation and pooling, and their arguments."""
