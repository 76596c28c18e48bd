"""The tools of the MCP server: search, ask, list_files and read_text, each with the caller's tenant."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from models.corpus.records import MAX_PAGE_LIMIT, File, PageRequest
from models.languages.shown_names import shown_name
from models.types.chunks import Passage
from models.types.generation import ChatMessage
from models.types.request_context import RequestContext
from models.types.scope import DEFAULT_VECTOR_STORE, Scope
from serve.api.answers import accept_query, final_answer
from serve.api.evidence import LocationBody, to_citation, to_location
from serve.api.filters import FilterBody, to_filter
from serve.api.ids import FileId, VectorStoreId, VectorStoreIds
from serve.api.query_text import QueryText, check_query_texts
from serve.api.ranking import DEFAULT_NUM_RESULTS, NumResults, SearchMode
from serve.api.services import Services
from serve.pipelines.answering import Answered, Query
from serve.pipelines.retrieving import RetrievalOptions, RetrievalQuery

MAX_READ_CHARS = 100_000
STORES = Field(default=(DEFAULT_VECTOR_STORE,), description="Vector stores to search; `default` is always there.")


class Arguments(BaseModel):
    """The arguments of a tool. Unknown ones are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class SearchArguments(Arguments):
    query: QueryText = Field(description="What to look for, in plain words or as keywords.")
    vector_store_ids: VectorStoreIds = STORES
    max_num_results: NumResults = 10
    filters: FilterBody | None = Field(default=None, description="Search only files whose attributes match.")
    mode: SearchMode = "auto"


class AskArguments(Arguments):
    question: QueryText = Field(description="A question that the documents may answer.")
    vector_store_ids: VectorStoreIds = STORES
    max_num_results: NumResults = Field(default=DEFAULT_NUM_RESULTS, description="Most passages to answer from.")
    filters: FilterBody | None = Field(default=None, description="Search only files whose attributes match.")


class ListFilesArguments(Arguments):
    filename: str | None = Field(default=None, min_length=1, max_length=1024, description="Only files of this name.")
    limit: int = Field(default=20, ge=1, le=MAX_PAGE_LIMIT)
    after: str | None = Field(default=None, min_length=1, max_length=128, description="`next` of the previous page.")


class ReadTextArguments(Arguments):
    file_id: FileId
    vector_store_id: VectorStoreId | None = Field(
        default=None, description="Read the version that this store searches."
    )
    start: int = Field(default=0, ge=0, description="First character.")
    max_chars: int = Field(default=20_000, ge=1, le=MAX_READ_CHARS)


class Source(BaseModel):
    """A text and its place: characters `start` to `end` of the file's text, which read_text reads."""

    file_id: str
    filename: str
    text: str
    start: int
    end: int
    location: LocationBody
    score: float


class Sources(BaseModel):
    results: list[Source]
    degraded: list[str] = Field(description="Stages that failed; the results are without them.")


class CitedAnswer(BaseModel):
    answer: str = Field(description="The answer. A marker such as [1] cites the source of that number, from 1.")
    sources: list[Source]
    answerable: bool = Field(description="Whether the documents have an answer.")
    degraded: list[str] = Field(description="Stages that failed; the answer was made without them.")


class ListedFile(BaseModel):
    file_id: str
    filename: str
    bytes: int
    created_at: int


class ListedFiles(BaseModel):
    files: list[ListedFile]
    next: str | None = Field(description="`after` of the next page; null: this is the last one.")


class FileText(BaseModel):
    file_id: str
    text: str
    start: int
    end: int = Field(description="`start` of the next piece.")
    total_chars: int


@dataclass(frozen=True)
class Caller:
    """A request: what answers it, and whose it is."""

    services: Services
    context: RequestContext


@dataclass(frozen=True)
class Tool:
    """A tool. Its result has a type, and a text for models that read no JSON."""

    name: str
    description: str
    arguments: type[Arguments]
    result: type[BaseModel]
    call: Callable[[Any, Caller], Awaitable[tuple[BaseModel, str]]]


async def search(arguments: SearchArguments, caller: Caller) -> tuple[Sources, str]:
    """Raises RagError, as the search of a vector store does."""
    services, context = caller.services, caller.context
    check_query_texts((arguments.query,), services.settings.api.max_query_chars)
    stores = arguments.vector_store_ids
    await asyncio.to_thread(services.corpus.vector_stores.touch, context.tenant, stores)
    where, options = to_filter(arguments.filters), RetrievalOptions(mode=arguments.mode)
    query = RetrievalQuery(arguments.query, Scope(context.tenant, stores), arguments.max_num_results, where, options)
    retrieved = await services.retrieval.retrieve(query, context.at_most(services.settings.retrieval.budget_s))
    results = list(map(_of_passage, retrieved.passages))
    return Sources(results=results, degraded=retrieved.trace.degraded), _numbered(results) or "No results."


async def ask(arguments: AskArguments, caller: Caller) -> tuple[CitedAnswer, str]:
    """Raises RagError, as /v1/query does."""
    query = Query(
        messages=(ChatMessage("user", arguments.question),),
        scope=Scope(caller.context.tenant, arguments.vector_store_ids),
        top_k=arguments.max_num_results,
        where=to_filter(arguments.filters),
    )
    query = await accept_query(query, caller.services, "question")
    answered = await final_answer(query, caller.services, caller.context)
    sources = _cited(answered)
    result = CitedAnswer(
        answer=answered.text, sources=sources, answerable=answered.answerable, degraded=answered.trace.degraded
    )
    return result, f"{answered.text}\n\n{_numbered(sources)}".strip()


async def list_files(arguments: ListFilesArguments, caller: Caller) -> tuple[ListedFiles, str]:
    """Newest first. Raises InvalidRequestError for an unknown cursor."""
    request = PageRequest(arguments.limit, arguments.after, "desc")
    files = caller.services.corpus.files
    page = await asyncio.to_thread(files.page, caller.context.tenant, request, None, arguments.filename)
    listed = list(map(_of_file, page.items))
    text = "\n".join(f"{file.file_id} {shown_name(file.filename)} ({file.bytes} bytes)" for file in listed)
    return ListedFiles(files=listed, next=listed[-1].file_id if page.has_more else None), text or "No files."


async def read_text(arguments: ReadTextArguments, caller: Caller) -> tuple[FileText, str]:
    """Raises NotFoundError, and ConflictError for a file without text."""
    stored = caller.services.corpus.files
    text = await asyncio.to_thread(stored.text, caller.context.tenant, arguments.file_id, arguments.vector_store_id)
    piece = text[arguments.start : arguments.start + arguments.max_chars]
    end = arguments.start + len(piece)
    read = FileText(file_id=arguments.file_id, text=piece, start=arguments.start, end=end, total_chars=len(text))
    return read, piece


TOOLS = (
    Tool(
        "search",
        "Search the documents for passages, best first. Use it to read sources yourself.",
        SearchArguments,
        Sources,
        search,
    ),
    Tool(
        "ask",
        "Answer a question from the documents. Each sentence cites its source; says so if they have no answer.",
        AskArguments,
        CitedAnswer,
        ask,
    ),
    Tool("list_files", "List the stored files, newest first.", ListFilesArguments, ListedFiles, list_files),
    Tool(
        "read_text",
        "Read a file's text, piece by piece. Places in results of search and ask count its characters.",
        ReadTextArguments,
        FileText,
        read_text,
    ),
)


def _of_passage(passage: Passage) -> Source:
    return Source(
        file_id=passage.file_id,
        filename=passage.filename,
        text=passage.text,
        start=passage.start,
        end=passage.end,
        location=to_location(passage.location),
        score=passage.score,
    )


def _cited(answered: Answered) -> list[Source]:
    """The source of each citation, in the order of their numbers."""
    citations = sorted(map(to_citation, answered.citations), key=lambda citation: citation.id)
    return [
        Source(text=citation.quote, **citation.model_dump(exclude={"id", "chunk_id", "quote"}))
        for citation in citations
    ]


def _of_file(file: File) -> ListedFile:
    return ListedFile(file_id=file.file_id, filename=file.filename, bytes=file.size_bytes, created_at=file.created_at)


def _numbered(sources: list[Source]) -> str:
    return "\n\n".join(f"[{number}] {_place(source)}\n{source.text}" for number, source in enumerate(sources, 1))


def _place(source: Source) -> str:
    label = f", {source.location['label']}" if source.location else ""
    return f"{source.filename}{label} ({source.file_id}, characters {source.start}-{source.end})"
