"""A stage did not do its work: it is late, gone, left alone for now, or has a bug."""

from models.errors.base import RagError


class DeadlineExceededError(RagError):
    code = "deadline_exceeded"

    def __init__(self, stage: str, budget_s: float) -> None:
        super().__init__(stage, budget_s)
        self.stage, self.budget_s = stage, budget_s

    def __str__(self) -> str:
        return f"the {self.stage} stage did not answer within {self.budget_s:.3g} s"


class StageUnavailableError(RagError):
    code = "stage_unavailable"

    def __init__(self, stage: str, retry_after_s: float = 5.0) -> None:
        super().__init__(stage, retry_after_s)
        self.stage, self.retry_after_s = stage, retry_after_s

    def __str__(self) -> str:
        return f"no replica of the {self.stage} stage can answer; try again in {self.retry_after_s:g} s"


class DegradedError(StageUnavailableError):
    """A stage was left out of the result, which the request does not take. `reason`: see Trace.reasons."""

    code = "degraded"

    def __init__(self, stage: str, reason: str, retry_after_s: float = 5.0) -> None:
        super().__init__(stage, retry_after_s)
        self.args = (stage, reason, retry_after_s)
        self.reason = reason

    def __str__(self) -> str:
        return (
            f"{self.stage} is missing ({self.reason}), and the request says degrade: never; try again in "
            f"{self.retry_after_s:g} s"
        )


class StageDownError(StageUnavailableError):
    code = "stage_down"


class BreakerOpenError(StageDownError):
    """The stage failed for the last calls, so that this one was not sent."""

    code = "breaker_open"

    def __str__(self) -> str:
        return f"the {self.stage} stage does not answer, so it is left out; try again in {self.retry_after_s:.3g} s"


class InternalError(RagError):
    """An unexpected failure. The caller learns the stage and nothing else."""

    def __init__(self, stage: str) -> None:
        super().__init__(stage)
        self.stage = stage

    def __str__(self) -> str:
        return f"the {self.stage} stage failed; the log has the details under this request's id"
