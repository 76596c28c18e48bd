"""The formulas compared with a simulation of the same graph."""

import pytest

from serve.cli.bench.plan.cases import Case, cases, paper_plan
from serve.cli.capacity.profile import STAGES, BatchTimes, GenerationTimes, StageName
from serve.cli.capacity.simulate import Layout, Station, closed_loop, open_loop

INSTANT = Station(BatchTimes(per_item_s=1e-9), 1, ((None,),))


def _layout(**stations: Station) -> Layout:
    whole: dict[StageName, Station] = {name: stations.get(name, INSTANT) for name in STAGES}
    return Layout(whole, (2.0,), 0.0)


def test_one_client_waits_for_the_slower_of_two_paths() -> None:
    layout = _layout(
        embed=Station(BatchTimes(fixed_s=0.1, per_item_s=0.1), 4, ((None,),)),
        dense=Station(BatchTimes(per_item_s=0.2), 4, ((None,), (None,))),
        lexical=Station(BatchTimes(per_item_s=0.3), 4, ((None,),)),
        generate=Station(
            GenerationTimes(prefill_s=0, step_s=0.1, step_item_s=0, tokens=6, max_requests=2).as_batch(), 2, ((None,),)
        ),
    )

    # embed and dense take 0.4 s, in parallel with 0.3 s of keyword search; then 0.6 s of tokens.
    assert closed_loop(layout, clients=1, seconds=50).mean_s == pytest.approx(1.0, rel=1e-6)


def test_batches_fill_with_many_clients() -> None:
    layout = _layout(rerank=Station(BatchTimes(fixed_s=0.1, per_item_s=0.05), 8, ((None,),)))

    assert closed_loop(layout, clients=32, seconds=100).per_s == pytest.approx(8 / 0.5, rel=0.02)


def test_an_engine_slows_down_with_its_requests() -> None:
    engine = GenerationTimes(prefill_s=0.0, step_s=0.01, step_item_s=0.001, tokens=100, max_requests=8).as_batch()

    simulated = closed_loop(_layout(generate=Station(engine, 8, ((None,),))), clients=8, seconds=100)

    assert simulated.mean_s == pytest.approx(1.8, rel=0.01)


def test_batches_wait_for_a_core() -> None:
    busy = Station(BatchTimes(per_item_s=0.1), 1, ((0, 0, 0, 0),))

    # Four replicas, but two cores.
    assert closed_loop(_layout(rerank=busy), clients=16, seconds=100).per_s == pytest.approx(20, rel=0.02)


def test_the_shards_of_the_keyword_search_take_two_rounds() -> None:
    times = BatchTimes(fixed_s=0.1, per_item_s=0.1)

    def mean_s(num_rounds: int) -> float:
        station = Station(times, 1, ((None,), (None,)), num_rounds)
        return closed_loop(_layout(lexical=station), clients=1, seconds=100).mean_s

    # The first round takes a batch without items; a hop takes no time here.
    assert mean_s(2) - mean_s(1) == pytest.approx(0.1)


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.expected)
def test_throughput_is_as_predicted(case: Case) -> None:
    plan = case.plan()

    simulated = closed_loop(plan.layout(), clients=200, seconds=60)

    assert plan.limits[0].name == case.expected
    assert simulated.per_s == pytest.approx(plan.per_s, rel=0.15)


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.expected)
def test_latency_at_the_target_is_as_predicted(case: Case) -> None:
    plan = case.plan()

    simulated = open_loop(plan.layout(), case.target.queries_per_s, seconds=200)

    assert simulated.p95_s == pytest.approx(plan.delay.p95_s, rel=0.15)


def test_a_plan_for_1000_queries_per_second_over_10_million_chunks_is_as_predicted() -> None:
    plan = paper_plan()

    simulated = open_loop(plan.layout(), 1_000, seconds=15)

    assert simulated.per_s == pytest.approx(1_000, rel=0.15)
    assert simulated.p95_s == pytest.approx(plan.delay.p95_s, rel=0.15)
