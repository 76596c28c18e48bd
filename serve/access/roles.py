"""The role that each operation needs. A route that is missing here does not start."""

from models.corpus.api_keys import Role
from models.errors.access import ForbiddenError
from models.errors.configuration import ConfigError
from serve.access.caller import Caller

_STORE, _FILE = "/v1/vector_stores/{vector_store_id}", "/v1/files/{file_id}"
_BATCH, _STORE_FILE = f"{_STORE}/file_batches/{{batch_id}}", f"{_STORE}/files/{{file_id}}"
_CONVERSATION, _RESPONSE = "/v1/conversations/{conversation_id}", "/v1/responses/{response_id}"

# Questions, and what belongs to them. `True`: also for a key that is limited to vector stores.
READ: dict[str, bool] = {
    "POST /v1/query": True,
    "POST /v1/chat/completions": True,
    "POST /v1/completions": True,
    "POST /v1/messages": True,
    "POST /v1/messages/count_tokens": True,
    "POST /v1/embeddings": True,
    "POST /v1/rerank": True,
    "POST /v2/rerank": True,
    "POST /rerank": True,
    "POST /mcp": True,
    "POST /v1/responses": True,
    "POST /v1/responses/input_tokens": True,
    "POST /v1/responses/compact": True,
    f"GET {_RESPONSE}": True,
    f"DELETE {_RESPONSE}": True,
    f"POST {_RESPONSE}/cancel": True,
    f"GET {_RESPONSE}/input_items": True,
    "POST /v1/conversations": True,
    f"GET {_CONVERSATION}": True,
    f"POST {_CONVERSATION}": True,
    f"DELETE {_CONVERSATION}": True,
    f"POST {_CONVERSATION}/items": True,
    f"GET {_CONVERSATION}/items": True,
    f"GET {_CONVERSATION}/items/{{item_id}}": True,
    f"DELETE {_CONVERSATION}/items/{{item_id}}": True,
    "POST /v1/feedback": False,
    "GET /v1/models": True,
    "GET /v1/models/{model_id}": True,
    f"POST {_STORE}/search": True,
    "GET /v1/vector_stores": False,
    f"GET {_STORE}": True,
    f"GET {_STORE}/index": True,
    f"GET {_STORE}/files": True,
    f"GET {_STORE_FILE}": True,
    f"GET {_STORE_FILE}/content": True,
    f"GET {_BATCH}": True,
    f"GET {_BATCH}/files": True,
    "GET /v1/files": False,
    f"GET {_FILE}": True,
    f"GET {_FILE}/content": True,
    f"GET {_FILE}/text": True,
}
WRITE: dict[str, bool] = {
    "POST /v1/files": True,
    f"DELETE {_FILE}": False,
    f"PUT {_FILE}/content": False,
    # An earlier version may have what was removed on purpose, so readers do not see it.
    f"GET {_FILE}/versions": False,
    f"GET {_FILE}/versions/{{version}}/content": False,
    f"POST {_FILE}/versions/{{version}}/restore": False,
    "POST /v1/vector_stores": False,
    f"POST {_STORE}": True,
    f"DELETE {_STORE}": False,
    f"POST {_STORE}/files": True,
    f"POST {_STORE_FILE}": True,
    f"DELETE {_STORE_FILE}": True,
    f"POST {_STORE}/file_batches": True,
    f"POST {_BATCH}/cancel": True,
    f"POST {_STORE}/delete_by_filter": True,
    f"POST {_STORE}/update_by_filter": True,
    "GET /v1/dead_letters": False,
    "POST /v1/dead_letters/replay": False,
    # Of any user that the caller names.
    "GET /v1/user_facts": False,
    "DELETE /v1/user_facts": False,
    "DELETE /v1/user_facts/{fact_id}": False,
}
# What users said has questions and answers of all of them.
ADMINISTER: dict[str, bool] = {
    "GET /v1/audit_log": False,
    "GET /v1/feedback": False,
    "GET /v1/feedback/{feedback_id}": False,
    "DELETE /v1/feedback/{feedback_id}": False,
}
# These list files, whoever may read them.
LISTINGS = frozenset([f"GET {_STORE}/files", f"GET {_BATCH}/files"])
OPERATIONS: dict[str, tuple[Role, bool]] = {
    **{operation: ("reader", scoped) for operation, scoped in READ.items()},
    **{operation: ("writer", scoped) for operation, scoped in WRITE.items()},
    **{operation: ("admin", scoped) for operation, scoped in ADMINISTER.items()},
}


def role_of(operation: str) -> tuple[Role, bool]:
    """The least role of an operation such as `GET /v1/files`, and whether a key limited to vector stores may do it."""
    if operation not in OPERATIONS:
        raise ConfigError(operation, "has no role; add it to serve/access/roles.py")
    return OPERATIONS[operation]


def check_role(caller: Caller, operation: str, needed: tuple[Role, bool]) -> None:
    """Raises ForbiddenError."""
    role, takes_limited = needed
    if not caller.has_role(role):
        raise ForbiddenError(f"this needs the role {role}; the key has the role {caller.role}")
    if caller.readers is not None and (not takes_limited or operation in LISTINGS):
        raise ForbiddenError("the caller sees documents by their readers, and this concerns all documents")
    if caller.vector_stores is not None and not takes_limited:
        raise ForbiddenError("the key is limited to vector stores, and this concerns more than these")
