"""The table of costs.

monthly_costs       what each tenant used in a calendar month (UTC), in the currency of the prices
"""

from sqlalchemy import Column, Float, PrimaryKeyConstraint, Table, Text

from models.corpus.schema import metadata

monthly_costs = Table(
    "monthly_costs",
    metadata,
    Column("month", Text, nullable=False),  # such as 2026-11
    Column("tenant", Text, nullable=False),
    Column("cost", Float(53), nullable=False),
    PrimaryKeyConstraint("month", "tenant"),
)
