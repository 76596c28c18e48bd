"""What the libraries of `ragserve bench ingest` share: their arguments, and the answer that they print.

`python -m serve.cli.driver.peers.langchain_ingest FOLDER MODEL INDEX`, in an environment of its own.
"""

import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

# As ragserve's own chunks.
CHUNK_TOKENS, OVERLAP_TOKENS = 220, 32


def run(prepare: Callable[[str], Callable[[Path, Path], int]]) -> None:
    """Times the ingestion of the folder, with the model loaded before. `prepare` returns it: it counts the chunks."""
    folder, model, index = sys.argv[1:]
    ingest = prepare(model)
    start = time.perf_counter()
    num_chunks = ingest(Path(folder), Path(index))
    seconds = time.perf_counter() - start
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    sys.stdout.write(json.dumps({"seconds": seconds, "chunks": num_chunks, "peak_mb": peak_mb}))
