"""Liveness and readiness."""

from typing import Any, Literal

from pydantic import Field

from serve.api.description.shapes.base import Shape


class StageObject(Shape):
    """The state of a stage."""

    ready: bool
    model: str | None
    runs_on: Any
    unfinished: int | None
    oldest_s: float | None
    loading: str | None
    error: str | None
    canary: dict[str, Any] | None
    breaker: Literal["closed", "half_open", "open"]


class CanaryObject(Shape):
    """The last document that was ingested, found and deleted to see that it works."""

    ok: bool
    problem: str | None
    ended_at: str


class RecentObject(Shape):
    """The last answers of an ingress replica, and the share that lost each stage."""

    answers: int
    degraded: dict[str, float]


class Readiness(Shape):
    ready: bool
    ingress: str
    missing: list[str]
    problems: list[str]
    rollout: dict[str, str]
    recent: RecentObject
    stages: dict[str, StageObject]
    dependencies: dict[str, Literal["closed", "half_open", "open"]] = Field(
        description="The breaker of each server that is called: database, database_writes, redis, milvus."
    )
    document_canary: CanaryObject | None


class Liveness(Shape):
    status: Literal["ok"]
