"""Who asks may not."""

from models.errors.base import RagError


class UnauthorizedError(RagError):
    """`actor` and `tenant` are those of a key that was revoked or has expired, for the audit log."""

    code = "invalid_api_key"  # OpenAI's

    def __init__(self, message: str, actor: str = "", tenant: str = "") -> None:
        super().__init__(message, actor, tenant)
        self.actor, self.tenant = actor, tenant

    def __str__(self) -> str:
        return str(self.args[0])


class ForbiddenError(RagError):
    code = "forbidden"

    def __init__(self, message: str) -> None:
        super().__init__(message)

    def __str__(self) -> str:
        return str(self.args[0])
