"""What each tenant uses of each model, in tokens and in money."""

from collections.abc import Callable, Mapping

from pydantic import BaseModel, ConfigDict, Field

from deployments.telemetry.metrics.tenants import TENANT_BUDGET, TENANT_COST, TENANT_NAMES, TENANT_TOKENS
from models.types.scope import CANARY_TENANT

MAX_PRICES = 256
MILLION = 1_000_000
CHARS_PER_TOKEN = 4  # of an answer that its client left, whose tokens no model counted


def estimated_tokens(num_chars: int) -> int:
    """The tokens of a text that no model counted."""
    return -(-num_chars // CHARS_PER_TOKEN)


class Price(BaseModel):
    """The price of a model, for a million tokens."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    input: float = Field(default=0.0, ge=0, le=1e6, description="A million tokens that the model reads.")
    output: float = Field(default=0.0, ge=0, le=1e6, description="A million tokens that the model writes.")


class CostConfig(BaseModel):
    """Prices and budgets, all in one currency."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    prices: dict[str, Price] = Field(
        default_factory=dict, max_length=MAX_PRICES, description="The price of a model, by its alias; others cost 0."
    )
    monthly_budgets: dict[str, float] = Field(
        default_factory=dict, max_length=10_000, description="What a tenant may spend a month before the alert."
    )
    max_tenants: int = Field(
        default=50, ge=1, le=1000, description="Tenants with a name of their own in metrics; further ones are `other`."
    )


class Metering:
    """Counts tokens and their cost. `configure` takes effect with the next count."""

    def __init__(self, config: CostConfig, used: Callable[[str, int], None] | None = None) -> None:
        """`used` gets the tenant and the tokens of each count."""
        self._used = used
        self._costs: dict[str, float] = {}  # by tenant, since they were taken
        self.configure(config)

    def configure(self, config: CostConfig) -> None:
        self._prices = config.prices
        TENANT_NAMES.limit = config.max_tenants
        for tenant, budget in config.monthly_budgets.items():
            TENANT_BUDGET.labels(TENANT_NAMES.label(tenant)).set(budget)

    @property
    def has_prices(self) -> bool:
        return bool(self._prices)

    def take_costs(self) -> dict[str, float]:
        """The cost of each tenant since this was called before."""
        costs, self._costs = self._costs, {}
        return costs

    def give_back(self, costs: Mapping[str, float]) -> None:
        """Costs that were taken and could not be saved."""
        for tenant, cost in costs.items():
            self._costs[tenant] = self._costs.get(tenant, 0.0) + cost

    def read(self, tenant: str, model: str, kind: str, num_tokens: int) -> None:
        """The model read tokens of the tenant. `kind`: prompt, embedding or reranking."""
        price = self._prices.get(model)
        self._use(tenant, num_tokens)
        self._count(tenant, model, kind, num_tokens, price.input if price else 0.0)

    def reranked(self, tenant: str, model: str, num_tokens: int) -> None:
        """The model read candidates of a question. They cost, but no limit of the tenant counts them."""
        price = self._prices.get(model)
        self._count(tenant, model, "reranking", num_tokens, price.input if price else 0.0)

    def wrote(self, tenant: str, model: str, num_tokens: int) -> None:
        """The model wrote tokens for the tenant."""
        price = self._prices.get(model)
        self._use(tenant, num_tokens)
        self._count(tenant, model, "completion", num_tokens, price.output if price else 0.0)

    def _use(self, tenant: str, num_tokens: int) -> None:
        if self._used is not None and tenant and num_tokens:
            self._used(tenant, num_tokens)

    def _count(self, tenant: str, model: str, kind: str, num_tokens: int, price: float) -> None:
        # The document canary is the operator's: no tenant pays for it, and it takes none of the tenants' names.
        if not (tenant and model and num_tokens) or tenant == CANARY_TENANT:
            return
        label = TENANT_NAMES.label(tenant)
        TENANT_TOKENS.labels(label, model, kind).inc(num_tokens)
        if price:
            cost = num_tokens * price / MILLION
            TENANT_COST.labels(label, model).inc(cost)
            self.give_back({tenant: cost})
