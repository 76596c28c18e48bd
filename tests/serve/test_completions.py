"""Files that finish during a transaction share the next one."""

import asyncio
from pathlib import Path

import pytest

from models.corpus.completion import Completion
from models.corpus.corpus import Corpus
from models.corpus.records import Job
from models.errors.requests import ConflictError
from models.types.chunks import Chunk
from serve.pipelines.completions import MAX_CHUNKS, Completions
from tests.contexts import within
from tests.inline import InlineEmbedder, open_corpus

NUM_FILES = 40


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    return open_corpus(tmp_path)


def claim(corpus: Corpus, num_files: int) -> list[Job]:
    for number in range(num_files):
        file = corpus.files.add("default", f"{number}.md", str(number).encode())
        corpus.store_files.attach("default", "default", file.file_id)
    return corpus.jobs.claim("worker", num_files, 60)


async def completion(job: Job, num_chunks: int = 1) -> Completion:
    chunks = [Chunk(str(place), place, place + 1, "", 1) for place in range(num_chunks)]
    embedded = await InlineEmbedder().embed_documents([chunk.text for chunk in chunks], within(30))
    return Completion(job, "text", chunks, {embedded.generation: embedded.vectors})


def num_changes(corpus: Corpus) -> int:
    return corpus.views.heads([("default", "default")])[("default", "default")].seq


async def test_files_that_finish_together_are_few_transactions(corpus: Corpus) -> None:
    files = [await completion(job) for job in claim(corpus, NUM_FILES)]
    completions = Completions(corpus.jobs)

    await asyncio.gather(*(completions.store(file) for file in files))

    assert corpus.vector_stores.get("default", "default").file_counts.completed == NUM_FILES
    assert num_changes(corpus) <= 2


async def test_a_transaction_is_no_larger_than_its_limit(corpus: Corpus) -> None:
    files = [await completion(job, MAX_CHUNKS // 2) for job in claim(corpus, 4)]
    completions = Completions(corpus.jobs)

    await asyncio.gather(*(completions.store(file) for file in files))

    assert num_changes(corpus) == 2


async def test_a_lost_file_fails_alone(corpus: Corpus) -> None:
    jobs = claim(corpus, 5)
    corpus.files.delete("default", jobs[2].file_id)
    files = [await completion(job) for job in jobs]
    completions = Completions(corpus.jobs)

    outcomes = await asyncio.gather(*(completions.store(file) for file in files), return_exceptions=True)

    assert [type(outcome) for outcome in outcomes] == [type(None)] * 2 + [ConflictError] + [type(None)] * 2


async def test_a_caller_that_leaves_before_the_transaction_stores_nothing(corpus: Corpus) -> None:
    files = [await completion(job) for job in claim(corpus, 3)]
    completions = Completions(corpus.jobs)

    tasks = [asyncio.create_task(completions.store(file)) for file in files]
    await asyncio.sleep(0)
    tasks[1].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

    assert corpus.vector_stores.get("default", "default").file_counts.completed == 2
