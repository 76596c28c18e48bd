"""Pages of chunks: which texts go to the embedder together, and who gets which vectors."""

import asyncio
from collections.abc import Sequence

import numpy as np
import pytest

from models.errors.base import RagError
from models.errors.limits import OverloadedError
from models.errors.model_failures import UnusableVectorError
from models.errors.stages import DeadlineExceededError, InternalError
from models.types.request_context import RequestContext
from models.types.stage_results import Embeddings
from serve.pipelines.embedding_pages import PAGE_CHUNKS, SHARED_PAGE_CHARS, EmbeddingPages, Space
from serve.pipelines.suspects import Suspects
from tests.contexts import within
from tests.inline import InlineEmbedder

SPACE = Space()


class Gated(InlineEmbedder):
    """An embedder that notes each page, and answers when its gate is open. It fails for pages with the text "bad"."""

    def __init__(self, error: RagError | None = None) -> None:
        super().__init__()
        self.pages, self.gate, self.error = list[list[str]](), asyncio.Event(), error
        self.deadlines = list[float]()
        self.cancelled = 0

    async def embed_documents(
        self, texts: list[str], context: RequestContext, generation: str | None = None, with_tokens: bool = False
    ) -> Embeddings:
        self.pages.append(texts)
        self.deadlines.append(context.deadline.at)
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.error is not None and "bad" in texts:
            raise self.error
        embedded = await super().embed_documents(texts, context, generation, with_tokens)
        codes = tuple(text.encode() for text in texts)
        return Embeddings(embedded.vectors, embedded.generation, embedded.model, token_codes=codes)


async def start(pages: EmbeddingPages, files: Sequence[list[str]]) -> list[asyncio.Task[Embeddings]]:
    tasks = [asyncio.create_task(pages.embed(texts, within(30), SPACE)) for texts in files]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return tasks


async def test_small_files_share_a_page_and_each_gets_its_own_vectors() -> None:
    embedder = Gated()
    pages = EmbeddingPages(embedder, Suspects())
    files = [[f"file {number}", f"line {number}"] for number in range(20)]

    tasks = await start(pages, files)
    embedder.gate.set()
    answers = await asyncio.gather(*tasks)

    assert [len(page) for page in embedder.pages] == [2, 2, 36]  # two on their way, then all that gathered
    for texts, answer in zip(files, answers, strict=True):
        expected = (await InlineEmbedder().embed_documents(texts, within(30))).vectors
        np.testing.assert_array_equal(answer.vectors, expected)
        assert answer.token_codes == tuple(text.encode() for text in texts)


async def test_a_large_file_goes_page_by_page_and_stays_in_order() -> None:
    embedder = Gated()
    embedder.gate.set()
    texts = [f"chunk {number} " + "x" * 100 for number in range(2 * PAGE_CHUNKS + 5)]

    answer = await EmbeddingPages(embedder, Suspects()).embed(texts, within(30), SPACE)

    assert [len(page) for page in embedder.pages] == [PAGE_CHUNKS, PAGE_CHUNKS, 5]
    np.testing.assert_array_equal(answer.vectors, (await InlineEmbedder().embed_documents(texts, within(30))).vectors)
    assert answer.token_codes == tuple(text.encode() for text in texts)


async def test_each_page_of_a_large_file_has_all_the_time() -> None:
    embedder, context = Gated(), within(30)
    embedder.gate.set()

    await EmbeddingPages(embedder, Suspects()).embed(["x" * 100] * (3 * PAGE_CHUNKS), context, SPACE)

    assert context.deadline.at <= embedder.deadlines[0] < embedder.deadlines[1] < embedder.deadlines[2]


async def test_the_oldest_file_is_in_the_next_page_and_the_smallest_join_it() -> None:
    embedder = Gated()
    pages = EmbeddingPages(embedder, Suspects())
    sizes = [1, 1, SHARED_PAGE_CHARS - 200, SHARED_PAGE_CHARS // 2, 100, 50]

    tasks = await start(pages, [[str(number) + "x" * size] for number, size in enumerate(sizes)])
    embedder.gate.set()
    await asyncio.gather(*tasks)

    assert [[text[0] for text in page] for page in embedder.pages] == [["0"], ["1"], ["2", "5", "4"], ["3"]]


@pytest.mark.parametrize(
    "error",
    [InternalError("embed"), UnusableVectorError("embed", "remote", "0"), OverloadedError("embed")],
    ids=lambda error: error.code,
)
async def test_a_bad_file_does_not_fail_the_others_of_its_page(error: RagError) -> None:
    embedder = Gated(error)
    pages = EmbeddingPages(embedder, Suspects())

    tasks = await start(pages, [["a"], ["b"], ["c"], ["bad"], ["d"]])
    embedder.gate.set()
    answers = await asyncio.gather(*tasks, return_exceptions=True)

    failed = [number for number, answer in enumerate(answers) if isinstance(answer, RagError)]
    assert failed == ([2, 3, 4] if isinstance(error, OverloadedError) else [3])  # a full queue refuses the whole page


async def test_a_page_is_cancelled_once_all_its_files_are_gone() -> None:
    embedder = Gated()
    tasks = await start(EmbeddingPages(embedder, Suspects()), [["a"], ["b"], ["c"], ["d"]])

    tasks[2].cancel()
    tasks[0].cancel()
    await asyncio.gather(tasks[0], tasks[2], return_exceptions=True)
    await asyncio.sleep(0)
    embedder.gate.set()
    await asyncio.gather(tasks[1], tasks[3])

    assert embedder.cancelled == 1
    assert embedder.pages == [["a"], ["b"], ["d"]]


async def test_a_file_waits_no_longer_than_its_own_deadline() -> None:
    embedder = Gated()
    pages = EmbeddingPages(embedder, Suspects())
    await start(pages, [["a"], ["b"]])

    with pytest.raises(DeadlineExceededError):
        await pages.embed(["late"], within(0.01), SPACE)

    embedder.gate.set()
