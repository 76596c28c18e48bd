"""Whether a tenant's cost is the sum over its requests, by their own usage and the prices."""

from collections.abc import Sequence

import httpx

from loadtests.incidents.load import NO_STORE, answer
from loadtests.incidents.service import PRICES, TENANTS
from serve.cli.top.samples import Reading

MILLION = 1_000_000


def costs(metrics_url: str) -> dict[str, float]:
    """The counter of each tenant now."""
    reading = Reading.of([httpx.get(metrics_url, timeout=30, trust_env=False).raise_for_status().text])
    return {tenant: reading.total("tenant_cost_total", tenant=tenant) for tenant in TENANTS}


def ask_and_compare(url: str, metrics_url: str, questions: Sequence[str]) -> list[str]:
    """Ask as each tenant, one question after the other; a sentence for each tenant."""
    sentences = []
    for tenant in TENANTS:
        headers = {"authorization": f"Bearer {tenant}"} | NO_STORE
        with httpx.Client(base_url=url, timeout=60, headers=headers, trust_env=False) as http:
            before = costs(metrics_url)
            requests = sum(_cost_of_question(http, tenant, question) for question in questions)
            counter = costs(metrics_url)[tenant] - before[tenant]
        sentences.append(f"{tenant}: {len(questions)} questions cost {requests:.9f}; the counter grew by {counter:.9f}")
    return sentences


def _cost_of_question(http: httpx.Client, tenant: str, question: str) -> float:
    """Of the question, and of embedding it once more: that request says how many tokens the question has."""
    answered = answer(http, tenant, question)
    embedded = http.post("/v1/embeddings", json={"model": "minilm", "input": question}).raise_for_status().json()
    return (
        answered.prompt_tokens * PRICES["extractive"]["input"]
        + answered.completion_tokens * PRICES["extractive"]["output"]
        + 2 * embedded["usage"]["prompt_tokens"] * PRICES["minilm"]["input"]
    ) / MILLION
