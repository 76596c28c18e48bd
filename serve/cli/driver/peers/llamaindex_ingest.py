"""LlamaIndex's own ingestion, as its documentation puts it together: load, split, embed, index, persist.

A peer of the benchmarks, not a part of ragserve: it runs in an environment of its own.
"""

# mypy: disable-error-code="import-not-found"

from collections.abc import Callable
from pathlib import Path

from llama_index.core import SimpleDirectoryReader, VectorStoreIndex
from llama_index.core.node_parser import SentenceSplitter
from llama_index.embeddings.huggingface import HuggingFaceEmbedding
from transformers import AutoTokenizer

from serve.cli.driver.peers.ingestion import CHUNK_TOKENS, OVERLAP_TOKENS, run

BATCH_SIZE = 32  # texts of a forward pass; its default of 10 is slower


def prepare(model: str) -> Callable[[Path, Path], int]:
    """The ingestion of a folder into an index in another folder, with the model loaded."""
    embedding = HuggingFaceEmbedding(model_name=model, device="cpu", embed_batch_size=BATCH_SIZE)
    tokenizer = AutoTokenizer.from_pretrained(model)
    splitter = SentenceSplitter(
        chunk_size=CHUNK_TOKENS,
        chunk_overlap=OVERLAP_TOKENS,
        tokenizer=lambda text: tokenizer.encode(text, add_special_tokens=False),
        include_metadata=False,
    )
    embedding.get_text_embedding("warm")

    def ingest(folder: Path, index: Path) -> int:
        chunks = splitter.get_nodes_from_documents(SimpleDirectoryReader(str(folder)).load_data())
        VectorStoreIndex(chunks, embed_model=embedding).storage_context.persist(str(index))
        return len(chunks)

    return ingest


if __name__ == "__main__":
    run(prepare)
