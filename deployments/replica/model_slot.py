"""The model of a stage, which changes while it serves: the next one loads behind it, and no request waits for that.

`choose` returns at once, for Serve puts a replica that reconfigures into the state UPDATING, names only RUNNING ones
when it next tells the handles of the deployment's replicas, and stops a replica whose `reconfigure` raises: what does
not load is a matter of `status`. Source: ray 2.60, serve/_private/deployment_state.py: get_running_replica_infos,
_check_startup_replicas.
"""

import asyncio
import hashlib
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar

from deployments.replica.user_config import Canary, ModelChoice
from models.errors import RagError, StageUnavailableError
from models.types import Deadline, RequestContext, StageStatus

M = TypeVar("M")
T = TypeVar("T")

CANARY_TIME = 0.5  # of a request's budget; what is left is for the serving model, should the canary fail
logger = logging.getLogger(__name__)


@dataclass(eq=False)
class _Held(Generic[M]):
    """A loaded model, and how many requests it has under way."""

    alias: str
    model: M
    num_leases: int = 0
    idle: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.idle.set()


async def _always(alias: str) -> bool:
    return True


class ModelSlot(Generic[M]):
    """Holds the serving model and perhaps a canary. Belongs to one event loop.

    `load` gives the model of an alias, warm; `release` frees what a model holds, once nobody uses it. `fits_beside`
    says whether there is memory for a model beside those that are loaded; without it there always is.
    """

    def __init__(
        self,
        stage: str,
        load: Callable[[str], Awaitable[M]],
        release: Callable[[M], Awaitable[None]],
        fits_beside: Callable[[str], Awaitable[bool]] = _always,
    ) -> None:
        self._stage = stage
        self._load, self._release, self._fits_beside = load, release, fits_beside
        self._wish: ModelChoice | None = None
        self._serving: _Held[M] | None = None
        self._canary: _Held[M] | None = None
        self._last_alias = ""  # of the model that served last
        self._loading = ""
        self._errors: list[str] = []
        self._serves = asyncio.Event()
        self._change: asyncio.Task[None] | None = None
        self._leaving: dict[asyncio.Task[None], _Held[M]] = {}

    @property
    def serving(self) -> M:
        """The model that answers, canaries aside. Raises StageUnavailableError between two models in turn."""
        if self._serving is None:
            raise StageUnavailableError(self._stage)
        return self._serving.model

    @property
    def canary(self) -> M | None:
        """The model on trial."""
        return self._canary.model if self._canary is not None else None

    @property
    def models(self) -> list[M]:
        """Those in memory: the serving one, the canary, and those that only finish what they have begun."""
        return [held.model for held in self._held]

    @property
    def is_changing(self) -> bool:
        return self._change is not None and not self._change.done()

    async def choose(self, choice: ModelChoice) -> None:
        """The first time: returns once the model serves, or raises what loading raised. Later: returns at once.

        The newest wish wins. The same one again is a new attempt at what did not load.
        """
        if self._wish is None:
            self._serve(_Held(choice.model, await self._load(choice.model)))
        elif choice == self._wish and not self._errors:
            return
        self._wish = replace(choice)  # another object, even if it is an equal wish
        if not self.is_changing:
            self._change = asyncio.create_task(self._follow())

    @asynccontextmanager
    async def lease(self, key: str | None = None, wait_s: float = 0.0) -> AsyncGenerator[M, None]:
        """The model for a request, which stays loaded until the block ends. Without a key it is never the canary.

        Raises StageUnavailableError if none serves within `wait_s`, as between two models in turn.
        """
        with self._leased(self._canary_for(key) or await self._served(wait_s)) as model:
            yield model

    @asynccontextmanager
    async def lease_named(self, is_named: Callable[[M], bool], wait_s: float = 0.0) -> AsyncGenerator[M, None]:
        """As `lease`, for a request that names its model: the canary if it is that one, else the serving one."""
        named = self._canary if self._canary is not None and is_named(self._canary.model) else None
        with self._leased(named or await self._served(wait_s)) as model:
            yield model

    @contextmanager
    def lease_canary(self, key: str | None) -> Iterator[M | None]:
        """The canary for a request with this key; None if it is not the canary's."""
        canary = self._canary_for(key)
        if canary is None:
            yield None
            return
        with self._leased(canary) as model:
            yield model

    async def answer(
        self, key: str | None, work: Callable[[M, RequestContext], Awaitable[T]], context: RequestContext
    ) -> tuple[T, str]:
        """What `work` gives, and the alias of the canary that failed at it, or was too slow, and was stood in for."""
        failed = ""
        with self.lease_canary(key) as canary:
            if canary is not None:
                try:
                    return await work(canary, context.at_most(CANARY_TIME * context.remaining_s())), ""
                except Exception as error:  # noqa: BLE001, if the request is to blame, it fails again
                    failed = self.note_canary_failure(canary, error, context.request_id)
        async with self.lease(None, context.remaining_s()) as model:
            return await work(model, context), failed

    def note_canary_failure(self, canary: M, error: Exception, request_id: str) -> str:
        """Logs it, and gives the canary's alias."""
        alias = next((held.alias for held in self._held if held.model is canary), "")
        logger.warning("stage %s: canary %s failed for %s: %r", self._stage, alias, request_id, error)
        return alias

    def drop_canary(self, canary: M, error: Exception) -> None:
        """Takes it out of service, for it is ill."""
        if self._canary is not None and self._canary.model is canary:
            self._errors.append(f"canary {self._canary.alias!r} failed: {type(error).__name__}")
            self._retire(self._canary)
            self._canary = None

    def status(self, num_unfinished: int = 0, generation: str = "") -> StageStatus:
        """Raises StageUnavailableError if no model serves and none is on its way."""
        self.check_health()
        canary, wish = self._canary, self._wish
        return StageStatus(
            model=self._serving.alias if self._serving else "",
            num_unfinished=num_unfinished,
            generation=generation,
            loading=self._next_alias(),
            error="; ".join(self._errors),
            canary=canary.alias if canary else "",
            canary_share=wish.canary.share if canary and wish and wish.canary else 0.0,
        )

    def check_health(self) -> None:
        """Raises StageUnavailableError if no model serves and none is on its way: a new replica has to try."""
        if self._serving is None and not self.is_changing:
            raise StageUnavailableError(self._stage)

    async def until_settled(self) -> None:
        """Returns once nothing is loaded, and nothing waits to be released."""
        while tasks := [*self._leaving, *([self._change] if self._change and self.is_changing else [])]:
            await asyncio.wait(tasks)

    async def close(self) -> None:
        """Stops changing, and releases every model, used or not."""
        tasks = [*self._leaving, *([self._change] if self._change else [])]
        held = self._held
        self._serving = self._canary = None
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for one in held:
            await self._free(one)

    @property
    def _held(self) -> list[_Held[M]]:
        return [one for one in (self._serving, self._canary, *self._leaving.values()) if one is not None]

    @contextmanager
    def _leased(self, held: _Held[M]) -> Iterator[M]:
        held.num_leases += 1
        held.idle.clear()
        try:
            yield held.model
        finally:
            held.num_leases -= 1
            if not held.num_leases:
                held.idle.set()

    def _canary_for(self, key: str | None) -> _Held[M] | None:
        """The canary, if it is to answer this key."""
        canary, wish = self._canary, self._wish
        if key is None or canary is None or wish is None or wish.canary is None:
            return None
        return canary if _fraction(key) < wish.canary.share else None

    def _next_alias(self) -> str:
        """What is being loaded, or is going to be."""
        if self._loading or not self.is_changing or self._wish is None:
            return self._loading
        loaded = {held.alias for held in (self._serving, self._canary) if held is not None}
        return next((alias for alias in self._wish.aliases if alias not in loaded), "")

    async def _served(self, wait_s: float) -> _Held[M]:
        end = Deadline.after(wait_s)
        while self._serving is None:
            try:
                async with asyncio.timeout(end.remaining_s() if self.is_changing else 0):
                    await self._serves.wait()
            except TimeoutError:
                raise StageUnavailableError(self._stage) from None
        return self._serving

    async def _follow(self) -> None:
        """Works until the newest wish is reached, as far as that can be."""
        reached = None
        while (wish := self._wish) is not reached and wish is not None:
            self._errors = []
            if self._canary is not None and self._canary.alias not in wish.aliases:
                self._retire(self._canary)
                self._canary = None
            if self._serving is None or self._serving.alias != wish.model:
                await self._replace_serving(wish)
            if self._wish is wish and wish.canary is not None and self._canary is None:
                await self._try_out(wish.canary)
            reached = wish

    async def _replace_serving(self, wish: ModelChoice) -> None:
        """The wished model serves, or still the old one."""
        promoted = self._canary if self._canary and self._canary.alias == wish.model else None
        if promoted is not None:
            self._canary = None
        elif await self._goes_beside(wish):
            promoted = await self._loaded(wish.model)
        else:
            promoted = await self._loaded_in_turn(wish)
        if promoted is None:
            return
        old = self._serving
        self._serve(promoted)
        if old is not None and wish.canary is not None and wish.canary.model == old.alias and self._canary is None:
            self._canary = old
        elif old is not None:
            self._retire(old)

    async def _goes_beside(self, wish: ModelChoice) -> bool:
        if wish.swap != "auto" or self._serving is None:
            return wish.swap == "beside"
        return await self._fits(wish.model)

    async def _fits(self, alias: str) -> bool:
        try:
            return await self._fits_beside(alias)
        except (RagError, OSError):  # what is wrong with the model, loading it will say
            return True

    async def _loaded_in_turn(self, wish: ModelChoice) -> _Held[M] | None:
        """The wished model, in the memory that the old one had; the old one again if that does not load."""
        before = list(self._leaving)
        leaving = [self._retire(held, wish.drain_s) for held in (self._serving, self._canary) if held is not None]
        self._serving = self._canary = None
        self._serves.clear()
        self._loading = wish.model
        if before:
            await asyncio.wait(before, timeout=wish.drain_s)
        await asyncio.gather(*leaving)
        found = await self._loaded(wish.model)
        if found is None and self._wish is wish and self._last_alias != wish.model:
            found = await self._loaded(self._last_alias, is_rollback=True)
        return found

    async def _try_out(self, canary: Canary) -> None:
        if self._serving is None or self._serving.alias == canary.model:
            return  # what was to take its place does not load
        if self._wish and self._wish.swap == "auto" and not await self._fits(canary.model):
            self._errors.append(f"canary {canary.model!r} does not fit into memory beside {self._serving.alias!r}")
            return
        self._canary = await self._loaded(canary.model)

    async def _loaded(self, alias: str, is_rollback: bool = False) -> _Held[M] | None:
        """None, with the error noted, if it does not load; None if it was loaded for a wish that is gone."""
        self._loading = alias
        try:
            held = _Held(alias, await self._load(alias))
        except Exception as error:  # whatever a model's library raises
            self._errors.append(self._reason(alias, error))
            logger.error("stage %s: %s", self._stage, self._errors[-1], exc_info=error)
            return None
        finally:
            self._loading = ""
        if is_rollback or (self._wish and alias in self._wish.aliases):
            return held
        self._retire(held)
        return None

    @staticmethod
    def _reason(alias: str, error: Exception) -> str:
        if isinstance(error, RagError):
            return str(error)
        return f"model {alias!r} does not load: {type(error).__name__}; the log has the details"

    def _serve(self, held: _Held[M]) -> None:
        self._serving, self._last_alias = held, held.alias
        self._serves.set()

    def _retire(self, held: _Held[M], drain_s: float | None = None) -> asyncio.Task[None]:
        """Releases it when its last request has ended, or when `drain_s` is over."""
        task = asyncio.create_task(self._let_go(held, drain_s))
        self._leaving[task] = held
        task.add_done_callback(lambda done: self._leaving.pop(done, None))
        return task

    async def _let_go(self, held: _Held[M], drain_s: float | None) -> None:
        try:
            await asyncio.wait_for(held.idle.wait(), drain_s)
        except TimeoutError:
            logger.warning("stage %s: %s still had %d requests", self._stage, held.alias, held.num_leases)
        await self._free(held)

    async def _free(self, held: _Held[M]) -> None:
        try:
            await self._release(held.model)
        except Exception:  # whatever a model's library raises
            logger.exception("stage %s: %s was not released", self._stage, held.alias)


def _fraction(key: str) -> float:
    """From 0 to 1, evenly, and the same for a key in every process."""
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest()) / 2**64
