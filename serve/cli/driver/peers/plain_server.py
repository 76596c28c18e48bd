"""The server that people write first: FastAPI, sentence-transformers, one `encode` a request, in a thread of the pool.

`python plain_server.py MODEL PORT`, in an environment of its own. A peer of the benchmarks, not a part of ragserve.
"""

import sys

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from sentence_transformers import SentenceTransformer

app = FastAPI()
model = SentenceTransformer(sys.argv[1])


class EmbeddingRequest(BaseModel):
    """OpenAI's shape, as far as a benchmark needs it."""

    input: str | list[str]
    model: str = ""


@app.post("/v1/embeddings")
def embeddings(request: EmbeddingRequest) -> dict[str, object]:
    texts = [request.input] if isinstance(request.input, str) else request.input
    vectors = model.encode(texts, normalize_embeddings=True, show_progress_bar=False)
    data = [
        {"object": "embedding", "index": index, "embedding": vector.tolist()} for index, vector in enumerate(vectors)
    ]
    return {"object": "list", "data": data, "model": request.model}


@app.get("/health")
def health() -> dict[str, str]:
    return {"status": "ok"}


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), log_level="warning")
