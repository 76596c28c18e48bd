"""OpenAI's objects for an answer that quotes the context of its own request."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from models.generation.citations import Citation, CitedText
from models.generation.own_context import PROMPT
from models.types.generation import ChatMessage, CompletionRequest, GenerationDelta


@dataclass(frozen=True)
class QuotedAnswer:
    """The text with its citations, and how likely the context answers the question; None: nothing was asked of it."""

    cited: CitedText
    evidence: float | None
    is_answerable: bool


def conversation(request: CompletionRequest) -> list[ChatMessage]:
    """The messages of a request with their text; a completion's prompt is one message of the user."""
    if request.kind == "completion":
        prompt = request.body.get("prompt")
        if isinstance(prompt, list) and len(prompt) == 1:
            (prompt,) = prompt
        return [ChatMessage("user", prompt)] if isinstance(prompt, str) else []
    return [ChatMessage(_role(message), _text(message.get("content"))) for message in request.body["messages"]]


def completion_objects(
    request: CompletionRequest, answer: QuotedAnswer, delta: GenerationDelta
) -> Iterator[dict[str, Any]]:
    """The response, or its chunks if the request says `stream`."""
    num_prompt, num_completion = delta.num_prompt_tokens, delta.num_completion_tokens
    total = num_prompt + num_completion
    usage = {"prompt_tokens": num_prompt, "completion_tokens": num_completion, "total_tokens": total}
    cited = answer.cited
    ours = {
        "citations": [_citation(citation) for citation in cited.citations],
        "evidence": None if answer.evidence is None else round(answer.evidence, 4),
        "answerable": answer.is_answerable,
    }
    if not request.body.get("stream"):
        choice = _whole(request, cited) | {"finish_reason": delta.finish_reason}
        yield {**_head(request, ""), "choices": [choice], "usage": usage, **ours}
        return
    yield {**_head(request, ".chunk"), "choices": [_piece(request, cited.text)]}
    last = _piece(request, "") | {"finish_reason": delta.finish_reason}
    yield {**_head(request, ".chunk"), "choices": [last], **ours}
    if (request.body.get("stream_options") or {}).get("include_usage"):
        yield {**_head(request, ".chunk"), "choices": [], "usage": usage}


def _head(request: CompletionRequest, suffix: str) -> dict[str, Any]:
    kind = f"chat.completion{suffix}" if request.kind == "chat" else "text_completion"
    prefix = "chatcmpl" if request.kind == "chat" else "cmpl"
    model = request.body.get("model")
    return {"id": f"{prefix}-{request.request_id}", "object": kind, "created": int(time.time()), "model": model}


def _whole(request: CompletionRequest, cited: CitedText) -> dict[str, Any]:
    if request.kind == "completion":
        return {"index": 0, "text": cited.text, "logprobs": None}
    message = {"role": "assistant", "content": cited.text, "refusal": None, "annotations": _annotations(cited)}
    return {"index": 0, "message": message, "logprobs": None}


def _piece(request: CompletionRequest, text: str) -> dict[str, Any]:
    content = {"text": text} if request.kind == "completion" else {"delta": _delta(text)}
    return {"index": 0, **content, "logprobs": None, "finish_reason": None}


def _delta(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text} if text else {}


def _annotations(cited: CitedText) -> list[dict[str, Any]]:
    by_id = {citation.id: citation for citation in cited.citations}
    return [
        {
            "type": "url_citation",
            "url_citation": {
                "url": f"#{PROMPT}:char={by_id[marker.citation_id].start},{by_id[marker.citation_id].end}",
                "title": PROMPT,
                "start_index": marker.start,
                "end_index": marker.end,
            },
        }
        for marker in cited.markers
    ]


def _citation(citation: Citation) -> dict[str, Any]:
    place = {"start": citation.start, "end": citation.end, "score": citation.score}
    return {"id": citation.id, "file_id": PROMPT, "filename": PROMPT, "quote": citation.quote, **place}


def _role(message: Mapping[str, Any]) -> str:
    role = str(message.get("role"))
    return {"developer": "system", "function": "tool"}.get(role, role)


def _text(content: Any) -> str:
    """The text of a message's content: a string, or the parts of it that are text."""
    if isinstance(content, str):
        return content
    blocks: Sequence[Any] = content if isinstance(content, list) else ()
    return "\n".join(str(block.get("text") or "") for block in blocks if isinstance(block, dict))
