"""`python -m serve.cli.bench.device`: the models alone on a GPU, against sentence-transformers and torch.

It needs only torch, transformers, sentence-transformers, numpy and pydantic: no Ray, no vLLM, no FAISS and no network.
"""
