"""The caches know which models serve: from a status that is at most a second old, and from whoever reads one."""

import asyncio

import pytest

from models.catalog import Catalog
from models.errors.stages import StageUnavailableError
from models.stage_status import StageStatus
from serve.caching.serving import MAX_AGE_S, MAX_WAIT_S, SETTLE_S, ServingStages, StageVersion
from tests.contexts import within
from tests.serve.caching.cache_samples import Clock, Reporting, Unresponsive

CATALOG = Catalog.open(None)


async def version_of(serving: ServingStages, stage: str = "rerank") -> StageVersion | None:
    versions = await serving.versions([stage])
    return None if versions is None else versions[stage]


async def test_a_status_serves_for_a_second_and_is_then_read_again() -> None:
    clock, stage = Clock(), Reporting(StageStatus("late-interaction"))
    serving = ServingStages({"rerank": stage}, CATALOG, clock)

    before = [await version_of(serving) for _ in range(3)]
    stage.reported = StageStatus("ms-marco-minilm")
    clock.now = MAX_AGE_S + 0.1
    changing = await version_of(serving)
    clock.now += SETTLE_S
    after = await version_of(serving)

    assert [version.model for version in before if version] == ["late-interaction"] * 3
    assert changing is None
    assert after is not None
    assert after.model == "ms-marco-minilm"
    assert stage.num_calls == 3


async def test_equal_readers_share_one_status() -> None:
    stage = Reporting(StageStatus("late-interaction"))
    serving = ServingStages({"rerank": stage}, CATALOG, Clock())

    await asyncio.gather(*(version_of(serving) for _ in range(5)))

    assert stage.num_calls == 1


async def test_a_status_that_another_reads_is_known_at_once() -> None:
    stage = Reporting(StageStatus("late-interaction"))
    serving = ServingStages({"rerank": stage}, CATALOG, Clock())
    await version_of(serving)
    stage.reported = StageStatus("ms-marco-minilm")

    await serving.sources["rerank"].status(within(10))

    assert await version_of(serving) is None
    assert stage.num_calls == 2


async def test_replicas_that_swap_one_after_the_other_are_unknown_until_all_agree() -> None:
    clock, stage = Clock(), Reporting(StageStatus("late-interaction"))
    serving = ServingStages({"rerank": stage}, CATALOG, clock)
    versions = []
    for model in ("late-interaction", "ms-marco-minilm", "late-interaction", "ms-marco-minilm", "ms-marco-minilm"):
        stage.reported = StageStatus(model)
        versions.append(await version_of(serving))
        clock.now += SETTLE_S - 1

    assert [version and version.model for version in versions] == ["late-interaction", None, None, None, None]
    version = await version_of(serving)
    assert version is not None
    assert version.model == "ms-marco-minilm"


@pytest.mark.parametrize(
    "status",
    [
        StageStatus("late-interaction", canary="ms-marco-minilm", canary_share=0.1),
        StageStatus("", loading="ms-marco-minilm"),
        StageUnavailableError("rerank"),
    ],
    ids=["a canary is on trial", "a swap in turn", "no replica answers"],
)
async def test_a_stage_that_may_answer_with_another_model_is_unknown(
    status: StageStatus | StageUnavailableError,
) -> None:
    serving = ServingStages({"rerank": Reporting(status)}, CATALOG, Clock())

    assert await version_of(serving) is None


async def test_quotes_need_no_generator_that_answers() -> None:
    clock, stage = Clock(), Reporting(StageStatus("extractive"))
    serving = ServingStages({"generate": stage}, CATALOG, clock)
    before = await serving.quoting_generator()

    stage.reported = StageUnavailableError("generate")
    clock.now = MAX_AGE_S + 0.1

    assert before == "extractive"
    assert await serving.generator() is None
    assert await serving.quoting_generator() == "extractive"


@pytest.mark.parametrize(
    "status",
    [StageStatus("qwen3-0.6b"), StageStatus("extractive", canary="qwen3-0.6b", canary_share=0.1), StageStatus("")],
    ids=["a swap", "a canary", "no model"],
)
async def test_a_generator_that_may_write_is_not_replaced_by_quotes(status: StageStatus) -> None:
    clock, stage = Clock(), Reporting(StageStatus("extractive"))
    serving = ServingStages({"generate": stage}, CATALOG, clock)
    await serving.quoting_generator()

    stage.reported = status
    clock.now = MAX_AGE_S + 0.1
    changing = await serving.quoting_generator()
    stage.reported = StageUnavailableError("generate")
    clock.now += SETTLE_S

    assert changing is None
    assert await serving.quoting_generator() != "extractive"


async def test_a_generator_that_was_never_heard_is_unknown() -> None:
    serving = ServingStages({"generate": Reporting(StageUnavailableError("generate"))}, CATALOG, Clock())

    assert await serving.quoting_generator() is None


async def test_a_stage_without_a_model_is_known_and_a_missing_one_is_not() -> None:
    serving = ServingStages({"dense": Reporting(StageStatus(options="index=flat"))}, CATALOG, Clock())

    assert await serving.versions(["dense"]) is not None
    assert await serving.versions(["dense", "rerank"]) is None


async def test_changed_options_of_a_stage_are_another_version() -> None:
    clock, stage = Clock(), Reporting(StageStatus("late-interaction", options="retrieval_weight=None"))
    serving = ServingStages({"rerank": stage}, CATALOG, clock)
    before = await version_of(serving)
    stage.reported = StageStatus("late-interaction", options="retrieval_weight=0.5")
    serving.expire()
    changing = await version_of(serving)
    clock.now += SETTLE_S
    after = await version_of(serving)

    assert changing is None
    assert None not in (before, after)
    assert before != after


async def test_a_stage_that_does_not_answer_delays_questions_once() -> None:
    clock, stage = Clock(), Unresponsive()
    serving = ServingStages({"rerank": stage}, CATALOG, clock)

    first = await version_of(serving)
    clock.now = MAX_WAIT_S
    later = [await version_of(serving) for _ in range(3)]

    assert [first, *later] == [None] * 4
    assert stage.num_calls == 1
    await serving.close()
