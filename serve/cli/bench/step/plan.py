"""The load of `ragserve bench step`: 1x, several times as much, 1x."""

from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

from serve.cli.driver.open_loop import Arrivals, Phase

ASK, PARSE = "/ask", "/parse"
QUICK_PHASE_S = 20.0


@dataclass(frozen=True)
class StepPhase:
    """A time of steady load, in questions and files a second."""

    name: str
    seconds: float
    questions_per_s: float
    files_per_s: float = 0.0

    def as_load(self, bodies: str) -> Phase:
        """`bodies` is the file of request bodies for both."""
        questions = Arrivals(ASK, bodies, self.questions_per_s)
        return Phase(self.seconds, (questions, Arrivals(PARSE, bodies, self.files_per_s)))


class StepPlan(BaseModel):
    """Three phases: 1x, `factor` times as much, 1x. Files come only in the middle phase."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base_per_s: float = Field(default=5.0, gt=0, le=100, description="Questions a second at 1x.")
    factor: float = Field(default=5.0, gt=1, le=20, description="Rate of the middle phase, as a multiple of 1x.")
    phase_s: float = Field(default=80.0, ge=20, le=1800, description="Length of each of the three phases, in seconds.")
    budget_s: float = Field(
        default=2.5,
        gt=0,
        le=60,
        description="Latency budget of a question, end to end, at the 95th percentile, in seconds.",
    )
    files_per_s: float = Field(
        default=0.5, ge=0, le=10, description="Files a second for the parser, in the middle phase."
    )
    seed: int = Field(default=0, ge=0, description="Seed of the arrivals.")

    @property
    def phases(self) -> tuple[StepPhase, StepPhase, StepPhase]:
        base = self.base_per_s
        middle = StepPhase(f"{self.factor:g}x", self.phase_s, base * self.factor, self.files_per_s)
        return StepPhase("1x", self.phase_s, base), middle, StepPhase("1x again", self.phase_s, base)

    def as_quick(self) -> "StepPlan":
        return self.model_copy(update={"phase_s": QUICK_PHASE_S})
