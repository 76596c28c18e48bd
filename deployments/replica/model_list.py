"""A stage's models in the order in which they are tried, each in a slot of its own and with a breaker."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any, Generic, Self, TypeVar

from pydantic import Field, model_validator

from deployments.replica.model_slot import ModelSlot
from deployments.replica.user_config import CanariedConfig, ModelChoice
from deployments.telemetry.metrics.stages import STAGE_RETRIES
from models.breaker import Breaker, BreakerConfig
from models.errors.base import RagError
from models.errors.configuration import ModelNotFoundError
from models.errors.requests import InvalidRequestError
from models.errors.stages import DeadlineExceededError, StageUnavailableError
from models.stage_status import StageStatus
from models.types.request_context import RequestContext
from models.types.stage_results import FellBack

M = TypeVar("M")
T = TypeVar("T")
logger = logging.getLogger(__name__)

MISTAKES = (InvalidRequestError, ModelNotFoundError)  # of the caller: another model would refuse them too
TRY_TIME = 0.5  # of a call's remaining time; the models that follow have the other half
OPEN = "breaker_open"  # the reason why a model was not tried


class ListedConfig(CanariedConfig):
    """The user_config of a stage that may have a list of models: they are tried in order until one answers."""

    fallbacks: tuple[str, ...] = Field(
        default=(), max_length=7, description="The further aliases, if `model` is a list: [first, second, …]."
    )
    breaker: BreakerConfig = Field(default=BreakerConfig(), description="Of each model, if `model` is a list.")

    @model_validator(mode="before")
    @classmethod
    def _split_list(cls, options: Any) -> Any:
        """`model: [a, b]` names a, and b where a fails."""
        names = options.get("model") if isinstance(options, dict) else None
        if not isinstance(names, list | tuple):
            return options
        if not names or "fallbacks" in options or not all(isinstance(name, str) for name in names):
            raise ValueError("model must be an alias, or a list of one to eight aliases")
        return {**options, "model": names[0], "fallbacks": tuple(names[1:])}

    @model_validator(mode="after")
    def _check_fallbacks(self) -> Self:
        if len({self.model, *self.fallbacks}) <= len(self.fallbacks):
            raise ValueError("a model appears twice in the list")
        return self

    @property
    def aliases(self) -> tuple[str, ...]:
        """In the order in which they are tried."""
        return (self.model, *self.fallbacks)


@dataclass(frozen=True)
class Link(Generic[M]):
    """A place in the list."""

    alias: str
    slot: ModelSlot[M]
    breaker: Breaker
    is_first: bool


class ModelList(Generic[M]):
    """Leases the first model that answers. With a single model, all is as with its slot alone. Belongs to one loop."""

    def __init__(self, stage: str, new_slot: Callable[[], ModelSlot[M]], config: ListedConfig) -> None:
        self._stage, self._new_slot, self._config = stage, new_slot, config
        self.first = new_slot()
        self._links: list[Link[M]] = [Link(config.model, self.first, Breaker(config.breaker), True)]
        self._tasks: set[asyncio.Task[None]] = set()  # loads and releases that nobody waits for
        self._has_started = False

    @property
    def is_single(self) -> bool:
        return len(self._links) == 1

    async def choose(self, config: ListedConfig) -> None:
        """The first time: return once every model has loaded or failed; raise if none loads. Later: return at once."""
        self._config = config
        earlier = {link.alias: link for link in self._links if not link.is_first}
        self._links = [Link(config.model, self.first, self._breaker(config.model), True)]
        for alias in config.fallbacks:
            link = earlier.pop(alias, None)
            self._links.append(link or Link(alias, self._new_slot(), self._breaker(alias), False))
        for link in self._links:
            link.breaker.configure(config.breaker)
        for link in earlier.values():
            self._start(link.slot.drain(config.drain_s))
        if self.is_single:
            await self.first.choose(config.choice)
        else:
            await self._load()
        self._has_started = True

    async def streamed(
        self, open_stream: Callable[[Link[M]], AsyncGenerator[T, None]], try_s: float, start: str = ""
    ) -> AsyncGenerator[tuple[T, FellBack], None]:
        """The stream of the first model, from `start` on, that begins within `try_s`, and why those before it did not.

        The last one has all the time. Raises what the first one raised if none begins. A stream that has begun is the
        answer, also if it fails in the middle.
        """
        attempts = _Attempts(self._stage)
        for link in self._from(start):
            if not attempts.admits(link):
                continue
            async with aclosing(open_stream(link)) as items:
                try:
                    async with asyncio.timeout(None if link is self._links[-1] else try_s):
                        first = await anext(items)
                except Exception as error:  # noqa: BLE001, an engine may raise anything
                    attempts.failed(link, error, try_s)
                    continue
                link.breaker.succeed()
                yield first, attempts.fell_back
                try:
                    async for item in items:
                        yield item, attempts.fell_back
                except Exception:
                    link.breaker.fail()
                    raise
                return
        raise attempts.error

    async def answer(
        self, key: str | None, work: Callable[[M, RequestContext], Awaitable[T]], context: RequestContext
    ) -> tuple[T, str, FellBack]:
        """As ModelSlot.answer, by the first model that answers, and why those before it did not."""
        attempts = _Attempts(self._stage)
        for link in self._links:
            if not attempts.admits(link):
                continue
            is_last = link is self._links[-1]
            own = context if is_last else context.at_most(TRY_TIME * context.remaining_s())
            try:
                async with asyncio.timeout(own.remaining_s()):
                    result, failed_canary = await link.slot.answer(key if link.is_first else None, work, own)
            except Exception as error:  # noqa: BLE001, a model may raise anything
                attempts.failed(link, error, own.remaining_s())
                continue
            link.breaker.succeed()
            return result, failed_canary, attempts.fell_back
        raise attempts.error

    def status(self, num_unfinished: int = 0) -> StageStatus:
        """That of the first model, also while only a later one serves. Raises StageUnavailableError if none does."""
        link = next((link for link in self._links if not link.slot.is_down), self._links[0])
        status = link.slot.status(num_unfinished)
        if self.is_single:
            return status
        status = replace(status, models=tuple((each.alias, _state(each)) for each in self._links))
        if link.is_first:
            return status
        alias = self._links[0].alias  # requests go to it first, and each answer says what became of it
        problem = f"model {alias!r} does not serve, so {link.alias!r} does; the log has the details"
        return replace(status, model=alias, error=problem, runs_on="")

    def check_health(self) -> None:
        """Raises StageUnavailableError if no model serves, and none is loading."""
        self.status()

    @property
    def models(self) -> list[M]:
        """All models in memory."""
        return [model for link in self._links for model in link.slot.models]

    def _from(self, start: str) -> list[Link[M]]:
        place = next((place for place, link in enumerate(self._links) if link.alias == start), 0)
        return self._links[place:]

    def _breaker(self, alias: str) -> Breaker:
        return next((link.breaker for link in self._links if link.alias == alias), Breaker(self._config.breaker))

    async def _load(self) -> None:
        loads = [link.slot.choose(choice) for link, choice in self._choices()]
        if self._has_started:
            for load in loads:
                self._start(load)
            return
        results = await asyncio.gather(*loads, return_exceptions=True)
        errors = [result for result in results if isinstance(result, BaseException)]
        for error in errors:
            logger.error("stage %s: a model of the list did not load", self._stage, exc_info=error)
        if len(errors) == len(loads):
            raise errors[0]

    def _choices(self) -> Iterator[tuple[Link[M], ModelChoice]]:
        for link in self._links:
            yield link, self._config.choice if link.is_first else ModelChoice(link.alias)

    def _start(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(self._logged(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _logged(self, work: Awaitable[None]) -> None:
        try:
            await work
        except Exception:
            logger.exception("stage %s: changing the list of models failed", self._stage)


class _Attempts:
    """The models that did not answer a request, and what the first one raised."""

    def __init__(self, stage: str) -> None:
        self._stage = stage
        self._reasons: list[tuple[str, str]] = []
        self._errors: list[Exception] = []

    @property
    def fell_back(self) -> FellBack:
        return tuple(self._reasons)

    @property
    def error(self) -> Exception:
        return self._errors[0] if self._errors else StageUnavailableError(self._stage)

    def admits(self, link: Link[Any]) -> bool:
        """Whether the model may be tried."""
        if link.breaker.allows():
            return True
        self._reasons.append((link.alias, OPEN))
        return False

    def failed(self, link: Link[Any], error: Exception, budget_s: float) -> None:
        """Note the failure. Raises the caller's mistake if no other model was tried."""
        if isinstance(error, TimeoutError):
            error = DeadlineExceededError(self._stage, budget_s)
        if isinstance(error, MISTAKES):
            if not self._reasons:
                raise error
        else:
            link.breaker.fail()
            self._errors.append(error)
            logger.warning("stage %s: model %s failed, the next one is tried: %r", self._stage, link.alias, error)
        STAGE_RETRIES.labels(self._stage).inc()
        self._reasons.append((link.alias, _reason(error)))


def _reason(error: Exception) -> str:
    return error.code if isinstance(error, RagError) else "internal_error"


def _state(link: Link[Any]) -> str:
    if link.slot.is_down:
        return "not_loaded"
    return "open" if link.breaker.is_open else "ready"
