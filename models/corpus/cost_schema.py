"""The table of costs.

monthly_costs       what each tenant used in a calendar month (UTC), in the currency of the prices
"""

from sqlalchemy import Column, Float, PrimaryKeyConstraint, Table

from models.corpus.columns import metadata, text_column

monthly_costs = Table(
    "monthly_costs",
    metadata,
    text_column("month"),  # such as 2026-11
    text_column("tenant"),
    Column("cost", Float(53), nullable=False),
    PrimaryKeyConstraint("month", "tenant"),
)
