"""Requests that work as they are, and an error. A test sends each of them."""

from typing import Any

QUESTION = "How hot does the oven get?"
DOCUMENTS = ["The mill opens in winter.", "The oven heats to 250 degrees."]
MESSAGES = [{"role": "user", "content": QUESTION}]

REQUESTS: dict[str, dict[str, Any]] = {
    "post /v1/query": {"query": QUESTION, "top_k": 5},
    "post /v1/chat/completions": {"model": "ragserve", "messages": MESSAGES},
    "post /v1/completions": {"model": "ragserve", "prompt": QUESTION},
    "post /v1/messages": {"model": "ragserve", "max_tokens": 512, "messages": MESSAGES},
    "post /v1/responses": {"model": "ragserve", "input": QUESTION},
    "post /v1/conversations": {"metadata": {"topic": "ovens"}},
    "post /v1/embeddings": {"model": "ragserve", "input": DOCUMENTS},
    "post /v1/rerank": {"model": "ragserve", "query": QUESTION, "documents": DOCUMENTS, "top_n": 1},
    "post /v2/rerank": {"model": "ragserve", "query": QUESTION, "documents": DOCUMENTS, "top_n": 1},
    "post /rerank": {"query": QUESTION, "texts": DOCUMENTS},
    "post /v1/vector_stores": {"name": "manuals", "expires_after": {"anchor": "last_active_at", "days": 30}},
    "post /v1/vector_stores/{vector_store_id}": {"name": "handbooks"},
    "post /v1/vector_stores/{vector_store_id}/search": {"query": QUESTION, "max_num_results": 3},
    "post /v1/vector_stores/{vector_store_id}/delete_by_filter": {
        "filters": {"type": "lt", "key": "year", "value": 2020},
        "dry_run": True,
    },
    "post /v1/vector_stores/{vector_store_id}/update_by_filter": {
        "filters": {"type": "eq", "key": "year", "value": 2025},
        "attributes": {"reviewed": True},
    },
    "post /v1/vector_stores/{vector_store_id}/files/{file_id}": {"attributes": {"year": 2026}},
    "post /v1/feedback": {"id": "req_1", "rating": "good", "query": QUESTION},
    "post /v1/dead_letters/replay": {"vector_store_id": "default"},
}

ERROR: dict[str, Any] = {
    "error": {
        "message": "input 1 is empty",
        "type": "invalid_request_error",
        "param": "input",
        "code": "invalid_request",
    }
}
EVENTS = 'event: text\ndata: {"text": "The oven heats to 250 degrees. [1]"}\n\n'
CHUNKS = 'data: {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": "The oven"}}]}\n\n'
RESPONSE_EVENTS = 'event: response.output_text.delta\ndata: {"type": "response.output_text.delta"}\n\n'
STREAMS: dict[str, str] = {
    "post /v1/query": EVENTS,
    "post /v1/chat/completions": CHUNKS + "data: [DONE]\n\n",
    "post /v1/completions": 'data: {"object": "text_completion", "choices": [{"index": 0, "text": "The"}]}\n\n',
    "post /v1/messages": 'event: message_stop\ndata: {"type": "message_stop"}\n\n',
    "post /v1/responses": RESPONSE_EVENTS,
    "get /v1/responses/{response_id}": RESPONSE_EVENTS,
}
