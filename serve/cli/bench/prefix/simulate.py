"""`ragserve bench prefix`: the fraction of prompt tokens in the engine's prefix cache, by the order of the passages.

The trace of trace.py is replayed twice: thousands of requests against a simulated cache, for every order; and a few
hundred, with short passages, on vLLM, which counts its own hits, for the configurable orders.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from models.generation.passage_order import PassageOrder
from models.types.scope import Scope
from serve.cli.bench.prefix.cache import PrefixCache, Segment
from serve.cli.bench.prefix.orders import ORDERS
from serve.cli.bench.prefix.trace import INSTRUCTION_TOKENS, Trace, TraceRequest

SCOPE = Scope("bench", ("bench",))
BASELINE = "relevance"


@dataclass(frozen=True)
class PrefixPlan:
    """The replays: of `num_requests` simulated, and of `num_engine_requests` on the checkpoint in `llm`, if any.

    Requests go to `num_ingresses` processes at random, each with its own state of the order.
    """

    num_requests: int
    kv_tokens: int
    num_ingresses: int = 1
    llm: Path | None = None
    num_engine_requests: int = 300
    engine_kv_tokens: int = 20_000

    def as_quick(self) -> "PrefixPlan":
        return replace(self, num_requests=500, num_engine_requests=20)


@dataclass(frozen=True)
class Hits:
    """Tokens of prompts and of the passages in them, and how many of each were in the cache."""

    prompt_tokens: int = 0
    prompt_hits: int = 0
    passage_tokens: int = 0
    passage_hits: int = 0

    def __add__(self, other: "Hits") -> "Hits":
        return Hits(
            self.prompt_tokens + other.prompt_tokens,
            self.prompt_hits + other.prompt_hits,
            self.passage_tokens + other.passage_tokens,
            self.passage_hits + other.passage_hits,
        )

    @property
    def prompt_share(self) -> float:
        return self.prompt_hits / self.prompt_tokens

    @property
    def passage_share(self) -> float:
        return self.passage_hits / self.passage_tokens


@dataclass(frozen=True)
class Row:
    """One order; `counted` is the source of the counts: the simulation or vLLM."""

    order: str
    counted: str
    num_requests: int
    kv_tokens: int
    hits: Hits


def simulate(trace: Trace, plan: PrefixPlan) -> Iterator[Row]:
    """A row for each order."""
    for name, make_order in ORDERS.items():
        orders = [make_order() for _ in range(plan.num_ingresses)]
        chosen = np.random.default_rng(0).integers(plan.num_ingresses, size=len(trace.requests))
        cache, hits = PrefixCache(plan.kv_tokens), Hits()
        for number, (request, ingress) in enumerate(zip(trace.requests, chosen, strict=True)):
            hits += _serve(cache, trace, request, orders[ingress], number)
        yield Row(name, "simulated", len(trace.requests), plan.kv_tokens, hits)


def _serve(cache: PrefixCache, trace: Trace, request: TraceRequest, order: PassageOrder, number: int) -> Hits:
    """The hits of one request. As in models.generation.prompt, a passage's number is part of its text."""
    documents = [request.documents[place] for place in order.arrange(SCOPE, request.documents)]
    passages = [
        Segment((place, document), int(trace.passage_tokens[document])) for place, document in enumerate(documents)
    ]
    question = Segment(("question", tuple(documents), request.question), request.question_tokens)
    prompt = [Segment("instructions", INSTRUCTION_TOKENS), *passages, question]
    num_hits = cache.serve(prompt, Segment(("answer", number), request.output_tokens))
    num_prompt, num_passages = (sum(piece.num_tokens for piece in pieces) for pieces in (prompt, passages))
    return Hits(num_prompt, num_hits, num_passages, min(max(0, num_hits - INSTRUCTION_TOKENS), num_passages))


HEAD = (
    "| order | counted by | requests | KV tokens | prompt tokens hit | passage tokens hit | against relevance |\n"
    "|---|---|---|---|---|---|---|"
)


def table(rows: Sequence[Row]) -> str:
    """Markdown."""
    return "\n".join([HEAD, *(_line(row, rows) for row in rows)])


def _line(row: Row, rows: Sequence[Row]) -> str:
    (baseline,) = (other for other in rows if other.order == BASELINE and other.counted == row.counted)
    return (
        f"| {row.order} | {row.counted} | {row.num_requests:,} | {row.kv_tokens:,} | {row.hits.prompt_share:.1%} "
        f"| {row.hits.passage_share:.1%} | {row.hits.passage_share / baseline.hits.passage_share:.2f} |"
    )


def draw(rows: Sequence[Row], path: Path) -> None:
    """A bar an order, a panel for the simulation and for vLLM each; the suffix names the format."""
    from matplotlib.figure import Figure

    panels = list(dict.fromkeys(row.counted for row in rows))
    figure = Figure(figsize=(5.2 * len(panels), 2.6), layout="constrained")
    for axes, counted in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        shown = [row for row in rows if row.counted == counted]
        shares = [100 * row.hits.passage_share for row in shown]
        colours = ["tab:blue" if row.order == "popularity" else "0.7" for row in shown]
        axes.bar_label(axes.barh([row.order for row in shown], shares, color=colours), fmt="%.1f", padding=3)
        axes.set_title(f"% of passage tokens in the prefix cache, {counted}", loc="left", fontsize=8)
        axes.set_xlim(0, max(shares) * 1.2)
        axes.invert_yaxis()
        axes.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
