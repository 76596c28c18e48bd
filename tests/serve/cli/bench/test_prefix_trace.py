"""`ragserve bench prefix`: its trace, its simulated cache, and vLLM's own counters beside it."""

import subprocess
import sys
from pathlib import Path

import pytest

from serve.cli.bench.prefix.cache import BLOCK_TOKENS, PrefixCache, Segment
from serve.cli.bench.prefix.orders import ORDERS, SharedPrefixOrder
from serve.cli.bench.prefix.run import SCOPE
from serve.cli.bench.prefix.simulate import PrefixPlan, draw, simulate, table
from serve.cli.bench.prefix.trace import NUM_REQUESTS, make_trace, statistics_of
from tests.tiny_llama import build_tiny_llama

RAGSERVE = (sys.executable, "-m", "serve.cli")
ANSWER = Segment("answer", 1)


@pytest.mark.slow
def test_the_trace_has_the_published_figures_of_ragpulse() -> None:
    trace = make_trace()

    statistics = statistics_of(trace)

    assert len(trace.requests) == NUM_REQUESTS == 7_106
    assert statistics.passages_per_request == pytest.approx(4.7, abs=0.05)
    assert statistics.top_documents_share == pytest.approx(0.43, abs=0.01)
    assert statistics.repeated_questions == pytest.approx(0.115, abs=0.005)
    assert statistics.seen_recently == pytest.approx(0.82, abs=0.01)
    assert statistics.mean_input_tokens == pytest.approx(2_944, rel=0.02)
    assert statistics.p99_input_tokens == pytest.approx(5_425, rel=0.03)
    assert statistics.mean_output_tokens == pytest.approx(283, rel=0.05)


def test_a_trace_repeats_with_its_seed() -> None:
    assert make_trace(50).requests == make_trace(100).requests[:50]
    assert make_trace(50, seed=1).requests != make_trace(50).requests


def test_a_prompt_finds_the_full_blocks_it_begins_with() -> None:
    cache = PrefixCache(1_000)
    cache.serve([Segment("a", 40), Segment("b", 40)], ANSWER)

    # 40 tokens are two blocks of 16 and half of a third.
    assert cache.serve([Segment("a", 40), Segment("c", 40)], ANSWER) == 2 * BLOCK_TOKENS
    assert cache.serve([Segment("b", 40), Segment("a", 40)], ANSWER) == 0


def test_the_last_token_of_a_prompt_is_always_computed() -> None:
    cache = PrefixCache(1_000)
    cache.serve([Segment("a", 32)], ANSWER)

    assert cache.serve([Segment("a", 32)], ANSWER) == BLOCK_TOKENS
    assert cache.serve([Segment("a", 32), Segment("b", 1)], ANSWER) == 2 * BLOCK_TOKENS


def test_the_least_recently_used_block_is_evicted_of_a_prompt_the_last() -> None:
    cache = PrefixCache(6 * BLOCK_TOKENS)
    for name in ("a", "b", "a", "c"):
        cache.serve([Segment(name, 2 * BLOCK_TOKENS), Segment("end", 8)], ANSWER)
    cache.serve([Segment("d", BLOCK_TOKENS), Segment("end", 8)], ANSWER)

    hits = [cache.serve([Segment(name, 2 * BLOCK_TOKENS), Segment("end", 8)], ANSWER) for name in ("a", "b")]

    assert hits == [2 * BLOCK_TOKENS, BLOCK_TOKENS]


def test_the_longest_shared_prefix_comes_first() -> None:
    order = SharedPrefixOrder(10)
    order.arrange(SCOPE, [1, 2, 5])
    order.arrange(SCOPE, [3])
    order.arrange(SCOPE, [3])

    # 3 is the most popular, and only a prompt that begins with 1, 2 has two of these.
    keys = [2, 3, 9, 1]
    assert [keys[place] for place in order.arrange(SCOPE, keys)] == [1, 2, 3, 9]


@pytest.mark.slow
def test_popularity_finds_more_than_relevance_in_the_simulation(tmp_path: Path) -> None:
    plan = PrefixPlan(num_requests=1_500, kv_tokens=200_000, num_ingresses=2)

    rows = list(simulate(make_trace(plan.num_requests), plan))

    shares = {row.order: row.hits.passage_share for row in rows}
    assert list(shares) == list(ORDERS)
    assert shares["popularity"] > 1.3 * shares["relevance"]
    assert "| popularity | simulated | 1,500 | 200,000 |" in table(rows)
    draw(rows, tmp_path / "prefix.png")
    assert (tmp_path / "prefix.png").stat().st_size > 0


@pytest.mark.slow
@pytest.mark.vllm
def test_vllm_counts_the_hits_of_the_simulation(tmp_path: Path) -> None:
    llm = build_tiny_llama(tmp_path / "llm")
    options = ["--requests", "400", "--engine-requests", "40", "--llm", str(llm)]

    # A process of its own, for the engine reads the environment and stays imported.
    printed = subprocess.run(
        [*RAGSERVE, "bench", "prefix", *options], check=True, capture_output=True, text=True
    ).stdout

    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in printed.splitlines() if line.startswith("|")]
    shares = {(order, counted): float(share[:-1]) for order, counted, _, _, share, *_ in cells[2:]}
    assert len(cells) == 2 + len(ORDERS) + 4
    for order in ("relevance", "popularity"):
        assert shares[order, "simulated for vLLM"] == pytest.approx(shares[order, "vLLM"], abs=1.0)
    assert shares["popularity", "vLLM"] > shares["relevance", "vLLM"] > 0
