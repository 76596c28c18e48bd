"""Keeps each tenant's cost of the month in the database, and shows it beside its budget."""

import asyncio
import logging

from deployments.telemetry.metrics.tenants import TENANT_MONTH_COST, TENANT_NAMES
from models.corpus.monthly_costs import MonthlyCosts
from models.errors.storage import STORAGE_ERRORS
from serve.pipelines.metering import Metering

SAVE_S = 10.0
logger = logging.getLogger(__name__)


class CostLedger:
    """Background work. A process that is killed loses the costs of its last SAVE_S seconds."""

    def __init__(self, metering: Metering, costs: MonthlyCosts) -> None:
        self._metering, self._costs = metering, costs
        self._labels: set[str] = set()  # that have been shown

    async def run(self) -> None:
        """Runs until cancelled; then what is left is saved."""
        try:
            while True:
                if self._metering.has_prices:
                    await self.save()
                await asyncio.sleep(SAVE_S)
        finally:
            await self.save()

    async def save(self) -> None:
        """Add what was used since, and show the month. If the database is gone, it is kept for the next time."""
        costs = self._metering.take_costs()
        try:
            if costs:
                await asyncio.to_thread(self._costs.add, costs)
        except STORAGE_ERRORS as error:
            self._metering.give_back(costs)
            logger.warning("the costs of tenants are saved later: %s", error)
            return
        try:
            self._show(await asyncio.to_thread(self._costs.current))
        except STORAGE_ERRORS as error:
            logger.warning("the costs of the month are unknown for now: %s", error)

    def _show(self, costs: dict[str, float]) -> None:
        """A tenant without costs in a new month has 0."""
        sums = dict.fromkeys(self._labels, 0.0)
        for tenant, cost in costs.items():
            label = TENANT_NAMES.label(tenant)
            sums[label] = sums.get(label, 0.0) + cost
        for label, cost in sums.items():
            TENANT_MONTH_COST.labels(label).set(cost)
        self._labels |= sums.keys()
