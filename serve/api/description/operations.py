"""What each operation answers: the shape of its success, and the statuses of its errors."""

from dataclasses import dataclass

from pydantic import BaseModel

from serve.api.description.shapes import (
    answers,
    conversations,
    dead_letters,
    feedback,
    files,
    models,
    probes,
    vector_stores,
)
from serve.api.description.shapes.base import Deleted
from serve.api.query import QueryResponse

JSON, STREAM = "application/json", "text/event-stream"


@dataclass(frozen=True)
class Success:
    """`kinds`: the alternatives of a JSON body; `media_type`: of another body, instead. `streams`: with `stream: true`,
    server-sent events. `lists`: the alternatives that come as a JSON array.
    """

    description: str
    kinds: tuple[type[BaseModel], ...] = ()
    lists: tuple[type[BaseModel], ...] = ()
    media_type: str = JSON
    streams: bool = False


def _json(description: str, *kinds: type[BaseModel], streams: bool = False) -> Success:
    return Success(description, kinds, streams=streams)


_STORE = "/v1/vector_stores/{vector_store_id}"
_STORE_FILE, _BATCH = f"{_STORE}/files/{{file_id}}", f"{_STORE}/file_batches/{{batch_id}}"
_CONVERSATION, _RESPONSE = "/v1/conversations/{conversation_id}", "/v1/responses/{response_id}"
_FILE, _FEEDBACK = "/v1/files/{file_id}", "/v1/feedback/{feedback_id}"
_RANKED = Success("The texts, best first.", (models.RankedDocuments,), (models.RankedText,))

SUCCESS: dict[str, Success] = {
    "post /v1/query": _json("The answer and its evidence.", QueryResponse, streams=True),
    "post /v1/chat/completions": _json("The answer.", answers.ChatCompletion, streams=True),
    "post /v1/completions": _json("The answer.", answers.TextCompletionObject, streams=True),
    "post /v1/messages": _json("The answer.", answers.AnthropicMessage, streams=True),
    "post /v1/responses/compact": _json("The short conversation.", answers.CompactionObject),
    "post /v1/responses/input_tokens": _json("The number of tokens.", answers.InputTokensObject),
    "post /v1/messages/count_tokens": _json("The number of tokens.", answers.MessageTokensObject),
    "post /v1/responses": _json("The response.", answers.ResponseObject, streams=True),
    f"get {_RESPONSE}": _json("The response.", answers.ResponseObject, streams=True),
    f"delete {_RESPONSE}": _json("It is deleted.", Deleted),
    f"post {_RESPONSE}/cancel": _json("The cancelled response.", answers.ResponseObject),
    f"get {_RESPONSE}/input_items": _json("The items of its input.", conversations.ItemList),
    "post /v1/conversations": _json("The conversation.", conversations.ConversationObject),
    f"get {_CONVERSATION}": _json("The conversation.", conversations.ConversationObject),
    f"post {_CONVERSATION}": _json("The changed conversation.", conversations.ConversationObject),
    f"delete {_CONVERSATION}": _json("It is deleted.", Deleted),
    f"post {_CONVERSATION}/items": _json("The added items.", conversations.ItemList),
    f"get {_CONVERSATION}/items": _json("The items.", conversations.ItemList),
    f"get {_CONVERSATION}/items/{{item_id}}": _json("The item.", conversations.ItemObject),
    f"delete {_CONVERSATION}/items/{{item_id}}": _json("The conversation.", conversations.ConversationObject),
    "post /v1/feedback": _json("The stored feedback.", feedback.FeedbackObject),
    "get /v1/feedback": _json("A page of feedback.", feedback.FeedbackList),
    f"get {_FEEDBACK}": _json("The feedback.", feedback.FeedbackObject),
    f"delete {_FEEDBACK}": _json("It is deleted.", Deleted),
    "get /v1/audit_log": _json("A page of events.", dead_letters.AuditEventList),
    "get /v1/user_facts": _json("A page of facts.", conversations.UserFactList),
    "delete /v1/user_facts": _json("How many were deleted.", conversations.DeletedFacts),
    "delete /v1/user_facts/{fact_id}": _json("It is deleted.", Deleted),
    "post /v1/embeddings": _json("The vectors.", models.EmbeddingList),
    "post /v1/rerank": _RANKED,
    "post /v2/rerank": _RANKED,
    "post /rerank": _RANKED,
    "post /v1/files": _json("The stored file.", files.FileObject),
    "get /v1/files": _json("A page of files.", files.FileList),
    f"get {_FILE}": _json("The file.", files.FileObject),
    f"delete {_FILE}": _json("It is deleted.", Deleted),
    f"get {_FILE}/content": Success("The bytes as they were uploaded.", media_type="application/octet-stream"),
    f"put {_FILE}/content": _json("The file with its next version.", files.FileObject),
    f"get {_FILE}/versions": _json("The newest version, then the earlier ones.", files.FileVersionList),
    f"get {_FILE}/versions/{{version}}/content": Success(
        "The bytes as they were uploaded.", media_type="application/octet-stream"
    ),
    f"post {_FILE}/versions/{{version}}/restore": _json("The file with its next version.", files.FileObject),
    f"get {_FILE}/text": Success("The extracted text.", media_type="text/plain"),
    "post /v1/vector_stores": _json("The new store.", vector_stores.VectorStoreObject),
    "get /v1/vector_stores": _json("A page of stores.", vector_stores.VectorStoreList),
    f"get {_STORE}": _json("The store.", vector_stores.VectorStoreObject),
    f"post {_STORE}": _json("The changed store.", vector_stores.VectorStoreObject),
    f"delete {_STORE}": _json("It is deleted.", Deleted),
    f"get {_STORE}/index": _json("The size of its index.", vector_stores.IndexSizeObject),
    f"post {_STORE}/search": _json("The passages.", vector_stores.SearchPage),
    f"post {_STORE}/delete_by_filter": _json("How many files matched.", vector_stores.ChangedFiles),
    f"post {_STORE}/update_by_filter": _json("How many files matched.", vector_stores.ChangedFiles),
    f"post {_STORE}/files": _json("The file in the store.", vector_stores.StoreFileObject),
    f"get {_STORE}/files": _json("A page of files.", vector_stores.StoreFileList),
    f"get {_STORE_FILE}": _json("The file in the store.", vector_stores.StoreFileObject),
    f"post {_STORE_FILE}": _json("The changed file.", vector_stores.StoreFileObject),
    f"delete {_STORE_FILE}": _json("It is removed from the store.", Deleted),
    f"get {_STORE_FILE}/content": _json("Its chunks.", vector_stores.FileContentPage),
    f"post {_STORE}/file_batches": _json("The batch.", vector_stores.FileBatchObject),
    f"get {_BATCH}": _json("The batch.", vector_stores.FileBatchObject),
    f"post {_BATCH}/cancel": _json("The cancelled batch.", vector_stores.FileBatchObject),
    f"get {_BATCH}/files": _json("A page of files.", vector_stores.StoreFileList),
    "get /v1/dead_letters": _json("A page of dead letters.", dead_letters.DeadLetterList),
    "post /v1/dead_letters/replay": _json("How many files are ingested again.", dead_letters.ReplayObject),
    "get /v1/models": _json("The models.", models.ModelList),
    "get /v1/models/{model_id}": _json("The model.", models.ModelObject),
    "get /healthz": _json("The process runs.", probes.Liveness),
    "get /readyz": _json("Answers are whole.", probes.Readiness),
    "get /metrics": Success("Metrics in Prometheus' text format.", media_type="text/plain"),
}

ERRORS: dict[int, str] = {
    401: "No valid API key.",
    403: "The key may not do this, a web page of another origin sent it, or the host is not allowed.",
    404: "The id or the name is unknown.",
    408: "The body did not arrive in time.",
    409: "The current state does not allow it; a retry does not help.",
    413: "The body is too large.",
    422: "A field, a parameter or the document is wrong; `param` names it.",
    429: "A queue is full, or a limit is used up; retry after `Retry-After` seconds.",
    500: "A failure of the service; the log has the details under the request's id.",
    503: "A stage or the database does not answer; retry after `Retry-After` seconds.",
    504: "It took longer than its budget.",
    507: "There is no room for it, or the tenant may store no more; delete files.",
}
_STATE = (
    "/v1/vector_stores",
    "/v1/files/",
    "/v1/conversations",
    "/v1/responses",
    "/v1/query",
    "/v1/chat",
    "/v1/messages",
)


def error_statuses(operation: str, has_body: bool, is_limited: bool) -> list[int]:
    """The statuses that an operation of a tenant may answer. `is_limited`: it makes a stage compute."""
    path = operation.partition(" ")[2]
    names_something = "{" in path or is_limited or has_body
    candidates = {
        401: True,
        403: True,
        404: names_something,
        408: has_body,
        409: path.startswith(_STATE),
        413: has_body,
        422: True,
        429: True,
        500: True,
        503: True,
        504: is_limited,
        507: has_body and path.startswith((*_STATE, "/v1/files")),
    }
    return [status for status, applies in candidates.items() if applies]
