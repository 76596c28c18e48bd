"""Why there is no plan."""

from models.errors import RagError


class PlanError(RagError):
    """No plan meets the target. `what` is the stage, or the class of hardware, that stands in the way."""

    code = "no_plan"

    def __init__(self, what: str, reason: str, remedy: str) -> None:
        super().__init__(what, reason, remedy)
        self.what, self.reason, self.remedy = what, reason, remedy

    def __str__(self) -> str:
        return f"no plan: {self.what} {self.reason}; what would help: {self.remedy}"
