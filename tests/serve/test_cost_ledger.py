"""A tenant's cost of the month: in the database, so that a restart and other replicas do not change it."""

from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from deployments.telemetry.metrics.tenants import TENANT_MONTH_COST
from models.corpus.corpus import Corpus
from models.corpus.monthly_costs import MonthlyCosts
from models.errors.storage import DatabaseUnavailableError
from serve.pipelines.cost_ledger import CostLedger
from serve.pipelines.metering import CostConfig, Metering, Price
from serve.settings import Settings
from tests.inline import open_corpus
from tests.serve.test_live_services import QUESTION, serving

PRICES = CostConfig(prices={"m": Price(input=1_000_000.0)})  # 1 a token


def shown(tenant: str) -> float | None:
    return REGISTRY.get_sample_value("ragserve_tenant_month_cost", {"tenant": tenant})


def opened(folder: Path, clock: Callable[[], float]) -> Corpus:
    return Corpus.open(f"sqlite:///{folder / 'corpus.db'}", folder / "files", clock)


async def test_a_restart_and_another_replica_go_on_with_the_month(tmp_path: Path) -> None:
    settings = Settings(costs=CostConfig(prices={"shortest-first": Price(input=1_000)}))
    async with serving(tmp_path, settings) as (_, http):
        await http.post("/v1/query", json=QUESTION)
    TENANT_MONTH_COST.clear()  # as in a new process

    with closing(opened(tmp_path, datetime.now(UTC).timestamp)) as corpus:
        before = corpus.monthly_costs.current()["default"]
        await CostLedger(Metering(PRICES), corpus.monthly_costs).save()
        assert shown("default") == before > 0
        other = Metering(PRICES)
        other.read("default", "m", "prompt", 5)
        await CostLedger(other, corpus.monthly_costs).save()

        assert shown("default") == corpus.monthly_costs.current()["default"] == pytest.approx(before + 5)


async def test_a_new_month_begins_with_nothing(tmp_path: Path) -> None:
    now = [datetime(2026, 11, 30, 23, 59, 59, tzinfo=UTC).timestamp()]
    with closing(opened(tmp_path, lambda: now[0])) as corpus:
        metering = Metering(PRICES)
        ledger = CostLedger(metering, corpus.monthly_costs)
        metering.read("monthly", "m", "prompt", 7)
        await ledger.save()
        in_november = shown("monthly")

        now[0] += 1
        await ledger.save()

        assert (in_november, shown("monthly")) == (7, 0)
        metering.read("monthly", "m", "prompt", 2)
        await ledger.save()
        assert corpus.monthly_costs.current() == {"monthly": 2}


class FlakyCosts(MonthlyCosts):
    """Of a database that is down for the first call."""

    def add(self, costs: Mapping[str, float]) -> None:
        if not self.current() and "down" not in vars(self):
            vars(self)["down"] = True
            raise DatabaseUnavailableError("it does not answer")
        super().add(costs)


async def test_costs_that_cannot_be_saved_are_saved_later(tmp_path: Path) -> None:
    with closing(open_corpus(tmp_path)) as corpus:
        costs, metering = FlakyCosts(corpus.database, corpus.monthly_costs.clock), Metering(PRICES)
        ledger = CostLedger(metering, costs)
        metering.read("acme", "m", "prompt", 3)
        await ledger.save()
        metering.read("acme", "m", "prompt", 4)
        before = costs.current()
        await ledger.save()

        assert (before, costs.current()) == ({}, {"acme": 7})
