"""The caller's mistakes: a later attempt with the same request fails too."""

from models.errors.base import RagError


class InvalidRequestError(RagError):
    code = "invalid_request"

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message, param)
        self.message, self.param = message, param

    def __str__(self) -> str:
        return self.message


class PayloadTooLargeError(InvalidRequestError):
    code = "payload_too_large"


class BodyTimeoutError(InvalidRequestError):
    code = "request_timeout"

    def __init__(self, num_bytes: int, budget_s: float) -> None:
        super().__init__(f"{num_bytes} bytes of the body arrived within {budget_s:.3g} s; send it faster")
        self.args = (num_bytes, budget_s)


class NotFoundError(RagError):
    code = "not_found"

    def __init__(self, resource: str, resource_id: str, param: str | None = None) -> None:
        """`param` is the field of the request that has the id; None: it is in the path."""
        super().__init__(resource, resource_id, param)
        self.resource, self.resource_id, self.param = resource, resource_id, param

    def __str__(self) -> str:
        return f"no {self.resource} with id {self.resource_id!r}"


class ConflictError(RagError):
    code = "conflict"

    def __init__(self, message: str) -> None:
        super().__init__(message)

    def __str__(self) -> str:
        return str(self.args[0])


class MissingVectorsError(ConflictError):
    """Chunks lack vectors of `generations`, which their vector store requires."""

    code = "missing_vectors"

    def __init__(self, generations: tuple[str, ...]) -> None:
        super().__init__(f"vectors are missing for the generations {', '.join(generations)}")
        self.args = (generations,)
        self.generations = generations

    def __str__(self) -> str:
        return f"vectors are missing for the generations {', '.join(self.generations)}"


class UnreadableDocumentError(RagError):
    """No text can be extracted. `reason` is OpenAI's code: unsupported_file, invalid_file or server_error.

    `cause` is more exact: it may also be too_complex, parser_crash or parser_error.
    """

    code = "unreadable_document"

    def __init__(self, filename: str, reason: str, detail: str, cause: str | None = None) -> None:
        super().__init__(filename, reason, detail, cause)
        self.filename, self.reason, self.detail, self.cause = filename, reason, detail, cause or reason

    def __str__(self) -> str:
        return f"{self.filename}: {self.detail}"
