"""The slot that a stage's model is in: swapped while it serves, given back when nobody uses it, tried on a share."""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
import pytest_asyncio
from pydantic import ValidationError

from deployments.replica.model_slot import ModelSlot
from deployments.replica.user_config import CanariedConfig, Canary, ModelChoice
from models.errors.model_failures import ModelLoadError
from models.errors.stages import StageUnavailableError
from models.types.request_context import RequestContext
from tests.contexts import within
from tests.patience import PATIENCE_S


@dataclass(eq=False)
class Named:
    """A model that says its name, or fails."""

    name: str
    is_broken: bool = False

    async def say(self, context: RequestContext) -> str:
        if self.is_broken:
            raise RuntimeError("a broken model")
        return self.name


@dataclass
class Shelf:
    """Where the models come from. Those with a closed gate load when it is opened; the broken ones do not."""

    broken: set[str] = field(default_factory=set)
    gates: dict[str, asyncio.Event] = field(default_factory=dict)
    begun: dict[str, asyncio.Event] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)
    fitting: bool = True

    def close_gate(self, alias: str) -> asyncio.Event:
        self.begun[alias] = asyncio.Event()
        return self.gates.setdefault(alias, asyncio.Event())

    async def load(self, alias: str) -> Named:
        self.log.append(f"load {alias}")
        if alias in self.gates:
            self.begun[alias].set()
            await self.gates[alias].wait()
        if alias in self.broken:
            raise ModelLoadError(alias, "no weights")
        return Named(alias, is_broken=alias.startswith("broken"))

    async def release(self, model: Named) -> None:
        self.log.append(f"release {model.name}")

    async def fits_beside(self, alias: str) -> bool:
        return self.fitting


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest_asyncio.fixture
async def slot(shelf: Shelf) -> AsyncIterator[ModelSlot[Named]]:
    made = ModelSlot("test", shelf.load, shelf.release, shelf.fits_beside)
    await made.choose(ModelChoice("old"))
    yield made
    for gate in shelf.gates.values():
        gate.set()
    await made.close()


async def settled(slot: ModelSlot[Named]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        await slot.until_settled()


async def begun(shelf: Shelf, alias: str) -> None:
    async with asyncio.timeout(PATIENCE_S):
        await shelf.begun[alias].wait()


async def test_a_first_model_that_does_not_load_is_the_callers_error(shelf: Shelf) -> None:
    shelf.broken.add("old")
    slot = ModelSlot("test", shelf.load, shelf.release)

    with pytest.raises(ModelLoadError, match="no weights"):
        await slot.choose(ModelChoice("old"))
    with pytest.raises(StageUnavailableError):
        slot.status()


async def test_the_old_model_serves_while_the_new_one_loads(slot: ModelSlot[Named], shelf: Shelf) -> None:
    gate = shelf.close_gate("new")

    await slot.choose(ModelChoice("new"))
    await begun(shelf, "new")
    while_loading, loading = slot.serving.name, slot.status().loading
    gate.set()
    await settled(slot)

    assert (while_loading, loading) == ("old", "new")
    assert slot.serving.name == slot.status().model == "new"
    assert slot.status().loading == ""
    assert shelf.log == ["load old", "load new", "release old"]


async def test_a_model_that_does_not_load_leaves_the_old_one_and_says_so_once(
    slot: ModelSlot[Named], shelf: Shelf, caplog: pytest.LogCaptureFixture
) -> None:
    shelf.broken.add("new")

    with caplog.at_level(logging.ERROR):
        await slot.choose(ModelChoice("new"))
        await settled(slot)
    failed = slot.status()
    await slot.choose(ModelChoice("old"))
    await settled(slot)

    assert (failed.model, failed.error) == ("old", "model 'new' does not load: no weights")
    assert slot.status().error == ""
    assert len(caplog.records) == 1
    assert shelf.log == ["load old", "load new"]


async def test_the_same_wish_again_is_a_new_attempt_at_what_failed(slot: ModelSlot[Named], shelf: Shelf) -> None:
    shelf.broken.add("new")
    await slot.choose(ModelChoice("new"))
    await settled(slot)

    shelf.broken.clear()
    await slot.choose(ModelChoice("new"))
    await settled(slot)
    await slot.choose(ModelChoice("new"))

    assert slot.serving.name == "new"
    assert shelf.log.count("load new") == 2


async def test_the_newest_wish_wins_and_what_was_loaded_in_vain_is_released(
    slot: ModelSlot[Named], shelf: Shelf
) -> None:
    gate = shelf.close_gate("passed-over")
    await slot.choose(ModelChoice("passed-over"))
    await begun(shelf, "passed-over")

    await slot.choose(ModelChoice("never-begun"))
    await slot.choose(ModelChoice("newest"))
    gate.set()
    await settled(slot)

    assert slot.serving.name == "newest"
    assert shelf.log == ["load old", "load passed-over", "load newest", "release passed-over", "release old"]


async def test_a_replaced_model_is_released_when_its_last_request_ends(slot: ModelSlot[Named], shelf: Shelf) -> None:
    async with slot.lease("first") as first, slot.lease("second") as second:
        await slot.choose(ModelChoice("new"))
        async with asyncio.timeout(PATIENCE_S):
            while slot.serving.name != "new":  # noqa: ASYNC110, settled it is only once the old one is gone
                await asyncio.sleep(0)
        async with slot.lease("third") as third:
            in_use = [first.name, second.name, third.name]
        while_in_use = list(shelf.log)
    await settled(slot)

    assert in_use == ["old", "old", "new"]
    assert "release old" not in while_in_use
    assert shelf.log[-1] == "release old"


async def test_in_turn_the_old_model_goes_first(slot: ModelSlot[Named], shelf: Shelf) -> None:
    shelf.fitting = False
    gate = shelf.close_gate("new")
    waits, refused = asyncio.Event(), []

    async def request(wait_s: float) -> str:
        waits.set()
        async with slot.lease("question", wait_s) as model:
            return model.name

    await slot.choose(ModelChoice("new"))
    await begun(shelf, "new")
    try:
        await request(0)
    except StageUnavailableError as error:
        refused.append(error)
    between = slot.status()
    waiting = asyncio.create_task(request(PATIENCE_S))
    await waits.wait()
    gate.set()

    assert await waiting == "new"
    assert len(refused) == 1
    assert (between.model, between.loading) == ("", "new")
    assert shelf.log == ["load old", "release old", "load new"]


async def test_in_turn_requests_under_way_finish_before_the_old_model_goes(
    slot: ModelSlot[Named], shelf: Shelf
) -> None:
    async with slot.lease("question"):
        await slot.choose(ModelChoice("new", swap="in_turn"))
        async with asyncio.timeout(PATIENCE_S):
            while slot.status().loading != "new":  # noqa: ASYNC110, it waits for us, and so tells us nothing
                await asyncio.sleep(0)
        under_way = list(shelf.log)
    await settled(slot)

    assert under_way == ["load old"]
    assert shelf.log == ["load old", "release old", "load new"]


async def test_in_turn_a_request_that_takes_too_long_is_not_waited_for(slot: ModelSlot[Named], shelf: Shelf) -> None:
    async with slot.lease("endless"):
        await slot.choose(ModelChoice("new", swap="in_turn", drain_s=0.01))
        await settled(slot)

        assert slot.serving.name == "new"
        assert shelf.log == ["load old", "release old", "load new"]


async def test_in_turn_a_model_that_does_not_load_is_rolled_back(slot: ModelSlot[Named], shelf: Shelf) -> None:
    shelf.broken.add("new")

    await slot.choose(ModelChoice("new", swap="in_turn"))
    await settled(slot)

    assert slot.status().model == "old"
    assert slot.status().error == "model 'new' does not load: no weights"
    assert shelf.log == ["load old", "release old", "load new", "load old"]


async def test_a_slot_that_cannot_go_back_either_is_ill(slot: ModelSlot[Named], shelf: Shelf) -> None:
    shelf.broken |= {"new", "old"}

    await slot.choose(ModelChoice("new", swap="in_turn"))
    await settled(slot)

    with pytest.raises(StageUnavailableError):
        slot.check_health()
    with pytest.raises(StageUnavailableError):
        async with slot.lease("question", wait_s=PATIENCE_S):
            pass


async def answered_by(slot: ModelSlot[Named], key: str | None) -> str:
    async with slot.lease(key) as model:
        return model.name


async def test_a_canary_gets_its_share_and_the_same_questions_every_time(slot: ModelSlot[Named]) -> None:
    await slot.choose(ModelChoice("old", canary=Canary(model="trial", share=0.2)))
    await settled(slot)

    keys = [f"question {number}" for number in range(10_000)]
    first = [await answered_by(slot, key) for key in keys]
    second = [await answered_by(slot, key) for key in keys]

    # Binomial: 2,000 on average, standard deviation 40; five of them.
    assert 1_800 <= Counter(first)["trial"] <= 2_200
    assert second == first
    assert await answered_by(slot, None) == "old"
    assert (slot.status().canary, slot.status().canary_share) == ("trial", 0.2)


async def test_a_larger_share_keeps_the_questions_that_the_canary_had(slot: ModelSlot[Named]) -> None:
    keys = [f"question {number}" for number in range(1_000)]
    chosen = []
    for share in (0.1, 0.3):
        await slot.choose(ModelChoice("old", canary=Canary(model="trial", share=share)))
        await settled(slot)
        chosen.append({key for key in keys if await answered_by(slot, key) == "trial"})

    assert chosen[0] < chosen[1]


async def test_a_canary_that_does_not_load_gets_nothing(slot: ModelSlot[Named], shelf: Shelf) -> None:
    shelf.broken.add("trial")

    await slot.choose(ModelChoice("old", canary=Canary(model="trial", share=0.9)))
    await settled(slot)

    assert {await answered_by(slot, f"question {number}") for number in range(100)} == {"old"}
    status = slot.status()
    assert (status.model, status.canary, status.canary_share) == ("old", "", 0.0)
    assert status.error == "model 'trial' does not load: no weights"


async def test_a_canary_without_memory_for_it_is_refused(slot: ModelSlot[Named], shelf: Shelf) -> None:
    shelf.fitting = False

    await slot.choose(ModelChoice("old", canary=Canary(model="trial", share=0.5)))
    await settled(slot)

    assert slot.status().error == "canary 'trial' does not fit into memory beside 'old'"
    assert shelf.log == ["load old"]


async def test_promoting_the_canary_loads_nothing_and_neither_does_the_way_back(
    slot: ModelSlot[Named], shelf: Shelf
) -> None:
    choices = [
        ModelChoice("old", canary=Canary(model="trial", share=0.5)),
        ModelChoice("trial", canary=Canary(model="old", share=0.5)),
        ModelChoice("old", canary=Canary(model="trial", share=0.5)),
        ModelChoice("trial"),
    ]
    reached = []
    for choice in choices:
        await slot.choose(choice)
        await settled(slot)
        reached.append((slot.status().model, slot.status().canary))

    assert reached == [("old", "trial"), ("trial", "old"), ("old", "trial"), ("trial", "")]
    assert shelf.log == ["load old", "load trial", "release old"]


async def test_a_model_that_was_to_become_the_canary_stays_if_the_other_does_not_load(
    slot: ModelSlot[Named], shelf: Shelf
) -> None:
    shelf.broken.add("new")

    await slot.choose(ModelChoice("new", canary=Canary(model="old", share=0.5)))
    await settled(slot)

    assert (slot.status().model, slot.status().canary) == ("old", "")
    assert shelf.log == ["load old", "load new"]


async def test_what_a_canary_fails_at_the_serving_model_answers(slot: ModelSlot[Named]) -> None:
    await slot.choose(ModelChoice("old", canary=Canary(model="broken-trial", share=0.5)))
    await settled(slot)

    answers = [await slot.answer(str(key), Named.say, within(PATIENCE_S)) for key in range(100)]

    assert {answer for answer, _ in answers} == {"old"}
    assert Counter(failed for _, failed in answers)["broken-trial"] == sum(
        [await answered_by(slot, str(key)) == "broken-trial" for key in range(100)]
    )


async def test_a_slow_canary_leaves_time_for_the_serving_model(slot: ModelSlot[Named]) -> None:
    await slot.choose(ModelChoice("old", canary=Canary(model="trial", share=0.999)))
    await settled(slot)
    budgets = {}

    async def work(model: Named, context: RequestContext) -> str:
        budgets[model.name] = context.remaining_s()
        return await asyncio.wait_for(asyncio.Event().wait(), 0) if model.name == "trial" else model.name

    answer = await slot.answer("question", work, within(100))

    assert answer == ("old", "trial")
    assert budgets["trial"] <= 50 < budgets["old"]


async def test_a_canary_that_is_ill_goes_and_is_not_missed(slot: ModelSlot[Named], shelf: Shelf) -> None:
    await slot.choose(ModelChoice("old", canary=Canary(model="trial", share=0.5)))
    await settled(slot)
    ill = slot.canary

    slot.drop_canary(ill, RuntimeError("its engine is dead"))
    await settled(slot)

    assert (slot.status().model, slot.status().canary) == ("old", "")
    assert slot.status().error == "canary 'trial' failed: RuntimeError"
    assert shelf.log[-1] == "release trial"


async def test_a_request_that_names_the_canary_gets_it(slot: ModelSlot[Named]) -> None:
    await slot.choose(ModelChoice("old", canary=Canary(model="trial", share=0.01)))
    await settled(slot)

    names = []
    for alias in ("trial", "old", "an-adapter"):
        async with slot.lease_named(lambda model, alias=alias: model.name == alias) as model:
            names.append(model.name)

    assert names == ["trial", "old", "old"]


async def test_closing_releases_every_model(shelf: Shelf) -> None:
    slot = ModelSlot("test", shelf.load, shelf.release)
    await slot.choose(ModelChoice("old", canary=Canary(model="trial", share=0.5)))
    await settled(slot)

    await slot.close()

    assert shelf.log == ["load old", "load trial", "release old", "release trial"]
    with pytest.raises(StageUnavailableError):
        _ = slot.serving


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"canary": {"model": "old", "share": 0.1}}, "a canary is another model"),
        ({"canary": {"model": "new", "share": 0.1}, "swap": "in_turn"}, "swap cannot be in_turn"),
        ({"canary": {"model": "new", "share": 1.0}}, "less than 1"),
    ],
)
def test_a_canary_that_makes_no_sense_is_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        CanariedConfig(model="old", **fields)
