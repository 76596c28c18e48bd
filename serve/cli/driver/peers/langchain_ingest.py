"""LangChain's own ingestion, as its documentation puts it together: load, split, embed, FAISS, save.

A peer of the benchmarks, not a part of ragserve: it runs in an environment of its own.
"""

# mypy: disable-error-code="import-not-found"

from collections.abc import Callable
from pathlib import Path

from langchain_community.document_loaders import DirectoryLoader, TextLoader
from langchain_community.vectorstores import FAISS
from langchain_huggingface import HuggingFaceEmbeddings
from langchain_text_splitters import RecursiveCharacterTextSplitter
from transformers import AutoTokenizer

from serve.cli.driver.peers.ingestion import CHUNK_TOKENS, OVERLAP_TOKENS, run


def prepare(model: str) -> Callable[[Path, Path], int]:
    """The ingestion of a folder into an index in another folder, with the model loaded."""
    embeddings = HuggingFaceEmbeddings(
        model_name=model, model_kwargs={"device": "cpu"}, encode_kwargs={"normalize_embeddings": True}
    )
    splitter = RecursiveCharacterTextSplitter.from_huggingface_tokenizer(
        AutoTokenizer.from_pretrained(model), chunk_size=CHUNK_TOKENS, chunk_overlap=OVERLAP_TOKENS
    )
    embeddings.embed_documents(["warm"])

    def ingest(folder: Path, index: Path) -> int:
        loader = DirectoryLoader(str(folder), glob="*.txt", loader_cls=TextLoader, loader_kwargs={"encoding": "utf-8"})
        chunks = splitter.split_documents(loader.load())
        FAISS.from_documents(chunks, embeddings).save_local(str(index))
        return len(chunks)

    return ingest


if __name__ == "__main__":
    run(prepare)
