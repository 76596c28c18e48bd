"""The embedder alone, in a process of its own: the upper limit. A folder of files and an alias on standard input.

Parsing and chunking are done before: only the tokenising and the forward passes are timed. Texts are sorted by length.
"""

import json
import resource
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from deployments.parser import ParserConfig
from deployments.replica.token_passes import DocumentPasses
from models.catalog import Catalog
from models.compute import passes_at_once
from models.documents.file_parser import FileParser
from models.embedding.base import has_token_vectors
from models.embedding.offline import forward_all
from models.tokens.encoding import Encoding


def main(folder: Path, alias: str) -> dict[str, Any]:
    """Seconds for all chunks: vectors alone, and with token vectors as the service stores them."""
    catalog, options = Catalog.open(), ParserConfig().chunking
    parser, model = FileParser(catalog.tokenizer(alias)), catalog.load("embedding", alias)
    files = sorted(folder.iterdir())
    texts = [chunk.indexed_text for file in files for chunk in parser(file.read_bytes(), file.name, options).chunks]

    def timed(forward: Callable[[Sequence[Encoding]], Any]) -> float:
        forward(model.tokenize_documents(texts[:8]))
        start = time.perf_counter()
        forward_all(forward, model.tokenize_documents(texts), at_once=passes_at_once(model))
        return time.perf_counter() - start

    seconds = {"vectors": timed(model.forward)}
    if has_token_vectors(model):
        seconds["token_vectors"] = timed(DocumentPasses(model).forward)
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": seconds, "chunks": len(texts), "peak_mb": peak_mb}


if __name__ == "__main__":
    arguments = json.load(sys.stdin)
    sys.stdout.write(json.dumps(main(Path(arguments["folder"]), arguments["model"])))
