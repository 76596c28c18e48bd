"""OpenAI's response object and its output items, from the events of an answer."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic_core import to_jsonable_python

from models.corpus.conversations import Item
from models.corpus.ids import random_id
from models.corpus.responses import ResponseStatus, StoredResponse
from models.errors.base import RagError
from models.errors.limits import OverloadedError
from models.functions import ToolCall
from models.generation.citations import Citation, Marker
from models.types.chunks import Passage
from serve.api.chat_request import FileSearchTool
from serve.api.evidence import evidence
from serve.api.ranking import DEFAULT_NUM_RESULTS, RankingOptions
from serve.api.response_items import shown_item
from serve.api.response_request import ResponseRequest, Tool
from serve.pipelines.answering import Answered, PassagesFound

Body = dict[str, Any]

DELTA_SIZES = "delta_sizes"  # of a stored body whose stream may be read again
OVERDUE = {"code": "server_error", "message": "the process that wrote the response has ended; ask again"}


@dataclass(frozen=True)
class Draft:
    """A response that is being written: its request, and the new items of its input. `created_at` in Unix seconds."""

    request: ResponseRequest
    inputs: Sequence[Item]
    conversation_id: str | None
    created_at: int
    response_id: str = field(default_factory=lambda: random_id("resp_"))

    def body(self, status: ResponseStatus, **values: Any) -> Body:
        """The object without its output. `values` replace fields by name."""
        request = self.request
        fields: Body = {
            "id": self.response_id,
            "object": "response",
            "created_at": self.created_at,
            "status": status,
            "completed_at": int(time.time()) if status == "completed" else None,
            "error": None,
            "incomplete_details": None,
            "instructions": request.instructions,
            "model": request.model,
            "parallel_tool_calls": request.parallel_tool_calls is not False,
            "max_tool_calls": request.max_tool_calls,
            "previous_response_id": request.previous_response_id,
            "conversation": None if self.conversation_id is None else {"id": self.conversation_id},
            "temperature": request.temperature,
            "top_p": request.top_p,
            "top_logprobs": 0,
            "max_output_tokens": request.max_output_tokens,
            "truncation": request.truncation or "auto",
            "background": bool(request.background),
            "store": request.is_stored,
            "safety_identifier": request.safety_identifier,
            "prompt_cache_key": request.prompt_cache_key,
            "prompt_cache_retention": request.prompt_cache_retention,
            "service_tier": "default",
            "metadata": request.metadata or {},
            "moderation": None,
        }
        user = {} if request.user is None else {"user": request.user}  # OpenAI's description lets it not be null
        return fields | user | self._shapes() | values

    def _shapes(self) -> Body:
        """The fields of the request that are objects themselves."""
        request = self.request
        text_format = request.text.format if request.text else None
        shown = {"type": "text"} if text_format is None else text_format.model_dump(by_alias=True)
        choice = request.tool_choice or "auto"
        return {
            "text": {"format": shown, "verbosity": (request.text and request.text.verbosity) or "medium"},
            "tools": [_to_tool(tool) for tool in request.tools or ()],
            "tool_choice": choice if isinstance(choice, str) else choice.model_dump(exclude_none=True),
            "reasoning": request.reasoning.model_dump() if request.reasoning else None,
        }

    def stored(
        self, status: ResponseStatus, body: Body, output: Sequence[Item] = (), overdue_at: int | None = None
    ) -> StoredResponse:
        previous = self.request.previous_response_id
        return StoredResponse(self.response_id, status, self.created_at, body, tuple(output), previous, overdue_at)


@dataclass(frozen=True)
class Ended:
    """How a response ended: OpenAI's object without its output, and the output."""

    status: ResponseStatus
    body: Body
    output: tuple[Item, ...] = ()


def shown_response(body: Body, output: Sequence[Item], with_results: bool) -> Body:
    """OpenAI's object. Only a client computes `output_text`."""
    shown = {name: value for name, value in body.items() if name != DELTA_SIZES}
    return shown | {"output": [shown_item(item, with_results) for item in output]}


def answered_response(draft: Draft, event: Answered, output: Sequence[Item]) -> Ended:
    """The response of an answer from documents, with the evidence that every answer has."""
    is_cut = event.finish_reason == "length"
    # Passages are the results of the search. `prompt` is another thing in OpenAI's object.
    shown = {name: value for name, value in evidence(event).items() if name not in ("passages", "prompt")}
    values = to_jsonable_python(shown) | {
        "prompt_set": event.prompt,
        "usage": usage(event.num_prompt_tokens, event.num_completion_tokens),
        "incomplete_details": {"reason": "max_output_tokens"} if is_cut else None,
        "ignored": _ignored(draft, event),
    }
    status: ResponseStatus = "incomplete" if is_cut else "completed"
    return Ended(status, draft.body(status, **values), tuple(output))


def failed_response(draft: Draft, error: RagError, output: Sequence[Item] = ()) -> Ended:
    code = "rate_limit_exceeded" if isinstance(error, OverloadedError) else "server_error"
    body = draft.body("failed", error={"code": code, "message": str(error)})
    return Ended("failed", body, tuple(output))


def search_item(event: PassagesFound) -> Item | None:
    """The search of files. None if nothing was searched: a greeting, or an answer from another context."""
    results = [passage for passage in event.passages if passage.is_from_file]
    if not event.queries or (event.passages and not results):
        return None
    return {
        "id": random_id("fs_"),
        "type": "file_search_call",
        "status": "completed",
        "queries": list(event.queries),
        "results": [_to_result(passage) for passage in results],
    }


def message_item(item_id: str, text: str, annotations: Sequence[Body] = (), is_cut: bool = False) -> Item:
    content = {"type": "output_text", "text": text, "annotations": list(annotations), "logprobs": []}
    status = "incomplete" if is_cut else "completed"
    message = {"id": item_id, "type": "message", "status": status, "role": "assistant", "content": [content]}
    return message | {"phase": "final_answer"}


def answer_item(event: Answered, item_id: str) -> Item:
    """The message of an answer from documents."""
    by_id = {citation.id: citation for citation in event.citations}
    annotations = [_annotation(by_id[marker.citation_id], marker) for marker in event.markers]
    return message_item(item_id, event.text, annotations, event.finish_reason == "length")


def call_item(call: ToolCall) -> Item:
    fields = {"call_id": call.call_id, "name": call.name, "arguments": call.arguments}
    return {"id": random_id("fc_"), "type": "function_call", "status": "completed", **fields}


def usage(num_input: int, num_output: int) -> Body:
    return {
        "input_tokens": num_input,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": num_output,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": num_input + num_output,
    }


def _to_tool(tool: Tool) -> Body:
    """The tool as it was used, with the defaults of a search."""
    if not isinstance(tool, FileSearchTool):
        return tool.model_dump(exclude_none=True, by_alias=True)
    defaults: Body = {"max_num_results": DEFAULT_NUM_RESULTS, "filters": None}
    defaults["ranking_options"] = RankingOptions().model_dump(exclude_none=True)
    return defaults | tool.model_dump(exclude_none=True, by_alias=True)


def _annotation(citation: Citation, marker: Marker) -> Body:
    """OpenAI's file_citation, at the place of its marker in the text; `citation_id` is its number there."""
    passage = citation.passage
    source = {"type": "file_citation", "file_id": passage.file_id, "filename": passage.filename}
    return {**source, "index": marker.start, "citation_id": citation.id}


def _to_result(passage: Passage) -> Body:
    return {
        "file_id": passage.file_id,
        "filename": passage.filename,
        "score": passage.score,
        "text": passage.text,
        "attributes": dict(passage.attributes),
    }


def _ignored(draft: Draft, event: Answered) -> list[str]:
    """What the request asked for in vain, by the fields of this API."""
    has_instructions = draft.request.instructions is not None
    names = {"messages": "instructions" if has_instructions else "input", "response_format": "text.format"}
    ignored = [names.get(name, name) for name in event.ignored]
    return ignored + ["reasoning"] * (draft.request.reasoning is not None)
