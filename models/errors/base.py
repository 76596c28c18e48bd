"""The base class of all errors."""


class RagError(Exception):
    """The base class. `retry_after_s` is set if a later retry may succeed."""

    code = "internal_error"
    retry_after_s: float | None = None
