"""What each tenant asks and costs. The first tenants have names, further ones are `other`."""

from deployments.telemetry.buffered_metrics import Counter, Gauge

TENANT_REQUESTS = Counter(
    "ragserve_tenant_requests_total", "HTTP requests by tenant: the first ones by name, then other.", ["tenant"]
)
TENANT_TOKENS = Counter(
    "ragserve_tenant_tokens_total",
    "Tokens by tenant and model; kind is prompt, completion, embedding or reranking.",
    ["tenant", "model", "kind"],
)
TENANT_COST = Counter(
    "ragserve_tenant_cost_total", "Cost by the prices of `costs`, in its currency.", ["tenant", "model"]
)
TENANT_MONTH_COST = Gauge(
    "ragserve_tenant_month_cost",
    "Cost of a tenant in this calendar month (UTC), of all replicas; kept in the database.",
    ["tenant"],
    multiprocess_mode="livemostrecent",
)
TENANT_BUDGET = Gauge(
    "ragserve_tenant_monthly_budget",
    "Monthly budget of `costs`, in its currency.",
    ["tenant"],
    multiprocess_mode="livemostrecent",
)


class FirstNames:
    """Bounds a label: the first `limit` names stay, further ones become `other`."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._names = set[str]()

    def label(self, name: str) -> str:
        if name not in self._names:
            if len(self._names) >= self.limit:
                return "other"
            self._names.add(name)
        return name


TENANT_NAMES = FirstNames(50)  # `costs.max_tenants` changes it
