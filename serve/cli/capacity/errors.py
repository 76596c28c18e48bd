"""Why there is no plan."""

from models.errors.base import RagError


class PlanError(RagError):
    """No plan meets the target. `bottleneck`: the stage or the class of hardware that prevents it."""

    code = "no_plan"

    def __init__(self, bottleneck: str, reason: str, remedy: str) -> None:
        super().__init__(bottleneck, reason, remedy)
        self.bottleneck, self.reason, self.remedy = bottleneck, reason, remedy

    def __str__(self) -> str:
        return f"no plan meets the target: {self.bottleneck} {self.reason}; remedies: {self.remedy}"
