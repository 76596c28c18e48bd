"""What each tenant used in a month, over all replicas and restarts: a budget is compared with it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import insert, select, update

from models.corpus.cost_schema import monthly_costs
from models.corpus.database import Database, lock_name


@dataclass(frozen=True)
class MonthlyCosts:
    """Sums by tenant and calendar month, in UTC."""

    database: Database
    clock: Callable[[], float]

    def add(self, costs: Mapping[str, float]) -> None:
        """Add each tenant's cost to this month."""
        table, month = monthly_costs, self._month()
        with self.database.writing() as connection:
            lock_name(connection, table.name)
            for tenant, cost in costs.items():
                row = (table.c.month == month) & (table.c.tenant == tenant)
                added = connection.execute(update(table).where(row).values(cost=table.c.cost + cost))
                if not added.rowcount:
                    connection.execute(insert(table).values(month=month, tenant=tenant, cost=cost))

    def current(self) -> dict[str, float]:
        """The costs of this month by tenant; a tenant without any is missing."""
        table = monthly_costs
        with self.database.reading() as connection:
            rows = connection.execute(select(table.c.tenant, table.c.cost).where(table.c.month == self._month()))
            return {row.tenant: row.cost for row in rows}

    def _month(self) -> str:
        return datetime.fromtimestamp(self.clock(), UTC).strftime("%Y-%m")
