"""The work of the tests' child processes on a corpus."""

import itertools
import os
import sys
from contextlib import suppress
from multiprocessing.synchronize import Barrier
from pathlib import Path

from corpus_samples import STORE, TENANT, complete, completion_of

from models.corpus.corpus import Corpus
from models.errors.requests import ConflictError, NotFoundError
from tests.patience import PATIENCE_S

DELETE_EVERY = 5
REPLACE_EVERY = 3
LABEL_EVERY = 2
NEW_LABEL = {"label": "new"}
OLD_LABEL = {"label": "old"}


def text_of(number: int) -> str:
    """Make the text of 0 to 90 chunks. Every chunk names the file."""
    return f"{number:>9} " * (number % 7 * 15)


def next_text_of(number: int) -> str:
    """Make the replacement of a file: the text of 10 to 75 chunks."""
    return f"{-number:>9} " * (number % 6 * 13 + 10)


def is_to_be_deleted(number: int) -> bool:
    return number % DELETE_EVERY == 2


def is_to_be_replaced(number: int) -> bool:
    return number % REPLACE_EVERY == 0


def is_to_be_labelled(number: int) -> bool:
    return number % LABEL_EVERY == 0


def open_together(url: str, blob_root: Path, number: int, barrier: Barrier) -> None:
    """Open a corpus at the same time as the other processes, and add a file."""
    barrier.wait(PATIENCE_S)
    corpus = Corpus.open(url, blob_root)
    corpus.files.add(TENANT, f"{number}.txt", b"")
    corpus.close()


def write_files(url: str, blob_root: Path, numbers: range) -> None:
    """Ingest each file, and delete some of them."""
    corpus = Corpus.open(url, blob_root)
    for number in numbers:
        file = corpus.files.add(TENANT, f"{number}.txt", text_of(number).encode())
        corpus.store_files.attach(TENANT, STORE, file.file_id)
        for job in corpus.jobs.claim(f"worker {os.getpid()}", 2, 60.0):
            # Another process may delete the file while this one works on it.
            with suppress(ConflictError, NotFoundError):
                complete(corpus, job)
        if is_to_be_deleted(number):
            corpus.files.delete(TENANT, file.file_id)
    corpus.close()


def ingest_until_killed(url: str, blob_root: Path, first: int) -> None:
    """Print each acknowledged change at once."""
    corpus = Corpus.open(url, blob_root)
    owner = f"worker {os.getpid()}"
    _say("ready")
    for number in itertools.count(first):
        file_id = corpus.files.add(TENANT, f"{number}.txt", text_of(number).encode()).file_id
        _say("added", number, file_id)
        corpus.store_files.attach(TENANT, STORE, file_id, None, OLD_LABEL)
        _say("attached", number, file_id)
        _complete_all(corpus, owner)
        if is_to_be_replaced(number):
            corpus.files.replace(TENANT, file_id, next_text_of(number).encode())
            _say("replaced", number, file_id)
        if is_to_be_labelled(number):
            corpus.store_files.set_attributes(TENANT, STORE, file_id, NEW_LABEL)
            _say("labelled", number, file_id)
        if is_to_be_deleted(number):
            corpus.files.delete(TENANT, file_id)
            _say("deleted", number, file_id)


def _complete_all(corpus: Corpus, owner: str) -> None:
    """In one transaction, which a kill may cut short."""
    # The lease expires at once, so that the next process need not wait for it.
    jobs = corpus.jobs.claim(owner, 4, 0.0)
    errors = corpus.jobs.complete_all([completion_of(corpus, job) for job in jobs])
    for job, error in zip(jobs, errors, strict=True):
        if error is not None:
            raise error
        _say("completed", job.filename.removesuffix(".txt"), job.file_id, job.version)


def _say(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    ingest_until_killed(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
