"""Too much was asked for: of a queue, of a key's or a tenant's limits, of a tenant's storage."""

import math

from models.errors.base import RagError


class OverloadedError(RagError):
    code = "overloaded"

    def __init__(self, stage: str, retry_after_s: float = 1.0) -> None:
        super().__init__(stage, retry_after_s)
        self.stage, self.retry_after_s = stage, retry_after_s

    def __str__(self) -> str:
        return f"the {self.stage} stage has a full queue; try again in {self.retry_after_s:g} s"


class RateLimitedError(RagError):
    """`whose` has used up a limit of `what`, such as requests a minute. `reset_s`: until all of it is back."""

    code = "rate_limit_exceeded"
    retry_after_s: float

    def __init__(self, what: str, limit: int, whose: str, retry_after_s: float, reset_s: float = 0.0) -> None:
        super().__init__(what, limit, whose, retry_after_s, reset_s)
        self.what, self.limit, self.whose = what, limit, whose
        self.retry_after_s, self.reset_s = retry_after_s, reset_s

    def __str__(self) -> str:
        wait = f"try again in {math.ceil(self.retry_after_s)} s"
        return f"the {self.whose} has used its limit of {self.limit} {self.what}; {wait}"


class StorageQuotaError(RagError):
    """The tenant `whose` would go beyond its limit of `what`, such as stored bytes. Only deleting helps."""

    code = "storage_quota_exceeded"

    def __init__(self, what: str, limit: int, whose: str) -> None:
        super().__init__(what, limit, whose)
        self.what, self.limit, self.whose = what, limit, whose

    def __str__(self) -> str:
        return f"the tenant {self.whose} would go beyond its limit of {self.limit} {self.what}; delete files first"
