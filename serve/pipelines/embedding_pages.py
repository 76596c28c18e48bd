"""Chunks on their way to the embedder: small files share a page, and a large file goes page by page."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain

import numpy as np

from models.deadline import Deadline
from models.errors.base import RagError
from models.errors.model_failures import UnusableVectorError
from models.errors.stages import DeadlineExceededError, InternalError, StageDownError, StageUnavailableError
from models.types.request_context import RequestContext
from models.types.stage_results import Embeddings
from serve.pipelines.stages import EmbedStage
from serve.pipelines.suspects import Suspects

# Some 4,000 tokens, two forward passes: the next small file waits for a second or two.
SHARED_PAGE_CHARS = 16_384
PAGE_CHUNKS = 256  # of one large file
# One page is computed while the next one waits, so that the embedder is never idle.
MAX_PAGES_ON_THEIR_WAY = 2
STAGE = "embed"


def _count_nothing(_: int) -> None:
    """The default of `on_page`."""


@dataclass(frozen=True)
class Space:
    """What is computed: vectors of `generation`, None for the configured model's, and token vectors on request."""

    generation: str | None = None
    with_tokens: bool = False


@dataclass(eq=False)
class SmallFile:
    """The texts of a small file, and the future of their vectors."""

    texts: list[str]
    context: RequestContext
    answer: asyncio.Future[Embeddings]

    @property
    def num_chars(self) -> int:
        return sum(map(len, self.texts))


@dataclass
class SharedPages:
    """The small files that wait for vectors of one space, and their pages on the way."""

    waiting: list[SmallFile] = field(default_factory=list)
    pages: set[asyncio.Task[None]] = field(default_factory=set)

    def take(self) -> list[SmallFile]:
        """The files of the next page: the oldest one, so that none waits for ever, then the smallest."""
        waiting = [file for file in self.waiting if not file.answer.done()]
        page, num_chars = list[SmallFile](), 0
        for file in (*waiting[:1], *sorted(waiting[1:], key=lambda file: file.num_chars)):
            num_chars += file.num_chars
            if page and num_chars > SHARED_PAGE_CHARS:
                break
            page.append(file)
        self.waiting = [file for file in waiting if file not in page]
        return page


class EmbeddingPages:
    """Embeds the chunks of files. Belongs to one event loop.

    The embedder gets few calls of a good size, whatever the sizes of the files: the texts of many small files in one
    page are sorted by length and need few forward passes, and no message has all chunks of a large file.
    """

    def __init__(self, embedder: EmbedStage, suspects: Suspects) -> None:
        self._embedder, self._suspects = embedder, suspects
        self._shared: dict[Space, SharedPages] = {}

    async def embed(
        self,
        texts: list[str],
        context: RequestContext,
        space: Space,
        is_suspect: bool = False,
        on_page: Callable[[int], None] = _count_nothing,
    ) -> Embeddings:
        """A row a text, in order. Raises the embedder's errors, for these texts alone.

        Each page of a large file has all the time of `context`, and its number of texts goes to `on_page` when it is
        done. A suspect shares no page: it may be the file that kills the embedder.
        """
        if not is_suspect and sum(map(len, texts)) <= SHARED_PAGE_CHARS:
            embedded = await self._embed_shared(texts, context, space)
            on_page(len(texts))
            return embedded
        budget_s, pages = context.remaining_s(), list[Embeddings]()
        for start in range(0, max(1, len(texts)), PAGE_CHUNKS):
            # Each page has the whole time: a book needs more pages than a letter, and is no slower.
            context = replace(context, deadline=Deadline.after(budget_s))
            embed = partial(self._embed, texts[start : start + PAGE_CHUNKS], context, space)
            pages.append(await self._suspects.call(embed, self._embedder, is_suspect))
            on_page(len(pages[-1].vectors))
        return _joined(pages)

    async def _embed(self, texts: list[str], context: RequestContext, space: Space) -> Embeddings:
        return await self._embedder.embed_documents(texts, context, space.generation, space.with_tokens)

    async def _embed_shared(self, texts: list[str], context: RequestContext, space: Space) -> Embeddings:
        budget_s = context.remaining_s()
        file = SmallFile(texts, context, asyncio.get_running_loop().create_future())
        self._shared.setdefault(space, SharedPages()).waiting.append(file)
        self._send_next(space)
        try:
            async with asyncio.timeout(budget_s):
                return await file.answer
        except TimeoutError:
            raise DeadlineExceededError(STAGE, budget_s) from None

    def _send_next(self, space: Space) -> None:
        shared = self._shared[space]
        while len(shared.pages) < MAX_PAGES_ON_THEIR_WAY and (files := shared.take()):
            page = asyncio.get_running_loop().create_task(self._send(files, space))
            shared.pages.add(page)
            page.add_done_callback(partial(self._page_ended, space))
            _cancel_when_all_left(page, files)

    def _page_ended(self, space: Space, page: asyncio.Task[None]) -> None:
        self._shared[space].pages.discard(page)
        self._send_next(space)

    async def _send(self, files: list[SmallFile], space: Space) -> None:
        """Embed one page, and deliver its vectors. Every file gets an answer, whatever happens."""
        try:
            await self._deliver(files, space)
        except StageDownError as error:  # none of the files is the cause
            _fail(files, error)
        except (StageUnavailableError, InternalError, UnusableVectorError):
            await self._send_one_by_one(files, space)
        except Exception as error:  # noqa: BLE001, the error goes to the callers, who wait for it
            _fail(files, error)
        finally:
            _fail(files, StageUnavailableError(STAGE))  # the page was cancelled

    async def _send_one_by_one(self, files: list[SmallFile], space: Space) -> None:
        """One of the files is the cause, and may have broken the embedder: only this one fails."""
        for file in files:
            try:
                deliver = partial(self._deliver, [file], space)
                await self._suspects.call(deliver, self._embedder, is_suspect=True)
            except RagError as error:
                _fail([file], error)

    async def _deliver(self, files: list[SmallFile], space: Space) -> None:
        files = [file for file in files if not file.answer.done()]
        if not files:
            return
        latest = max((file.context for file in files), key=lambda context: context.deadline.at)
        embedded = await self._embed(list(chain.from_iterable(file.texts for file in files)), latest, space)
        start = 0
        for file in files:
            end = start + len(file.texts)
            if not file.answer.done():
                file.answer.set_result(_rows(embedded, start, end))
            start = end


def _rows(embedded: Embeddings, start: int, end: int) -> Embeddings:
    return replace(embedded, vectors=embedded.vectors[start:end], token_codes=embedded.token_codes[start:end])


def _joined(pages: Sequence[Embeddings]) -> Embeddings:
    codes = tuple(chain.from_iterable(page.token_codes for page in pages))
    return replace(pages[0], vectors=np.concatenate([page.vectors for page in pages]), token_codes=codes)


def _fail(files: Sequence[SmallFile], error: Exception) -> None:
    for file in files:
        if not file.answer.done():
            file.answer.set_exception(error)


def _cancel_when_all_left(page: asyncio.Task[None], files: Sequence[SmallFile]) -> None:
    def on_leave(_: asyncio.Future[Embeddings]) -> None:
        if all(file.answer.cancelled() for file in files):
            page.cancel()

    for file in files:
        file.answer.add_done_callback(on_leave)
