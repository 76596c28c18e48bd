"""What resources cost: examples, which you must replace by the prices that you pay."""

from pydantic import Field

from serve.cli.capacity.yaml_model import YamlModel

GIB_PER_GB = 1e9 / 2**30
HOURS_PER_MONTH = 730.0  # a year of 365 days / 12


class Prices(YamlModel):
    """Prices of rented resources, in any currency.

    The defaults are examples: round numbers, of the size of large clouds' on-demand list prices in 2025, in US dollars.
    They were not looked up at any provider, and list prices change. Put in your own.
    """

    currency: str = Field(default="USD", min_length=1, max_length=8, description="Name of the currency, for output.")
    cpu_hour: float = Field(default=0.03, ge=0, le=1e6, description="A core for an hour.")
    memory_gib_hour: float = Field(default=0.004, ge=0, le=1e6, description="A GiB of memory for an hour.")
    gpu_hour: float = Field(default=0.70, ge=0, le=1e6, description="A GPU for an hour, unless its class says it.")
    disk_gib_month: float = Field(default=0.10, ge=0, le=1e6, description="A GiB of disk for a month.")

    def disk_per_month(self, gigabytes: float) -> float:
        """Price of a disk of so many GB (10^9 bytes)."""
        return gigabytes * GIB_PER_GB * self.disk_gib_month
