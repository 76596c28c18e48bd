"""The types that OpenAI's client declares for responses and events: the client itself checks nothing."""

import importlib
from typing import Any

from pydantic import TypeAdapter, ValidationError

_MODELS = {
    "POST /responses": "responses.Response",
    "GET /responses/{response_id}": "responses.Response",
    "POST /responses/{response_id}/cancel": "responses.Response",
    "GET /responses/{response_id}/input_items": "responses.ResponseItemList",
    "POST /conversations": "conversations.Conversation",
    "GET /conversations/{conversation_id}": "conversations.Conversation",
    "POST /conversations/{conversation_id}": "conversations.Conversation",
    "DELETE /conversations/{conversation_id}": "conversations.ConversationDeletedResource",
    "POST /conversations/{conversation_id}/items": "conversations.ConversationItemList",
    "GET /conversations/{conversation_id}/items": "conversations.ConversationItemList",
    "GET /conversations/{conversation_id}/items/{item_id}": "conversations.ConversationItem",
    "DELETE /conversations/{conversation_id}/items/{item_id}": "conversations.Conversation",
    "POST /vector_stores": "VectorStore",
    "GET /vector_stores/{vector_store_id}": "VectorStore",
    "POST /vector_stores/{vector_store_id}": "VectorStore",
    "DELETE /vector_stores/{vector_store_id}": "VectorStoreDeleted",
    "POST /vector_stores/{vector_store_id}/files": "vector_stores.VectorStoreFile",
    "GET /vector_stores/{vector_store_id}/files/{file_id}": "vector_stores.VectorStoreFile",
    "POST /vector_stores/{vector_store_id}/files/{file_id}": "vector_stores.VectorStoreFile",
    "DELETE /vector_stores/{vector_store_id}/files/{file_id}": "vector_stores.VectorStoreFileDeleted",
    "POST /vector_stores/{vector_store_id}/file_batches": "vector_stores.VectorStoreFileBatch",
    "GET /vector_stores/{vector_store_id}/file_batches/{batch_id}": "vector_stores.VectorStoreFileBatch",
    "POST /vector_stores/{vector_store_id}/file_batches/{batch_id}/cancel": "vector_stores.VectorStoreFileBatch",
    "POST /files": "FileObject",
    "GET /files/{file_id}": "FileObject",
    "DELETE /files/{file_id}": "FileDeleted",
    "POST /chat/completions": "chat.ChatCompletion",
    "POST /embeddings": "CreateEmbeddingResponse",
    "GET /models/{model}": "Model",
}
_EVENTS = {"POST /responses": "responses.ResponseStreamEvent", "POST /chat/completions": "chat.ChatCompletionChunk"}


def has_type(operation: str, is_event: bool = False) -> bool:
    return operation in (_EVENTS if is_event else _MODELS)


def type_problem(operation: str, value: Any, is_event: bool = False) -> str:
    """Why the value is not of the client's type; empty if it is."""
    module, _, name = f"openai.types.{(_EVENTS if is_event else _MODELS)[operation]}".rpartition(".")
    declared = getattr(importlib.import_module(module), name)
    try:
        TypeAdapter(declared).validate_python(value, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        return f"client's type: {'.'.join(map(str, first['loc']))}: {first['msg']}"
    return ""
