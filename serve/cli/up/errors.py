"""Why `ragserve up` ended before it served."""

from pathlib import Path

from models.errors.base import RagError


class StartError(RagError):
    """A stage did not start. The reason names the stage; `logs` is the folder with its log file."""

    code = "start_failed"

    def __init__(self, reason: str, logs: Path) -> None:
        super().__init__(reason, logs)
        self.reason, self.logs = reason, logs

    def __str__(self) -> str:
        return f"the service did not start: {self.reason}\nlogs: {self.logs}"
