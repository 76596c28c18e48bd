"""What `ragserve status` prints of a readiness."""

import pytest

from serve.cli.status.command import _print_state


def test_each_problem_is_printed_once(capsys: pytest.CaptureFixture[str]) -> None:
    readiness = {
        "missing": ["rerank: its breaker is open"],
        "problems": ["parse: a file is parsed since 1900 s", "generate: model qwen3-0.6b is open"],
        "recent": {"answers": 20, "degraded": {"rerank": 0.5}},
        "rollout": {"Reranker": "UPDATING"},
        "stages": {"parse": {"error": "a file is parsed since 1900 s"}, "generate": {"error": ""}},
    }

    _print_state(readiness)

    assert capsys.readouterr().out.splitlines() == [
        "missing    rerank: its breaker is open",
        "problem    generate: model qwen3-0.6b is open",
        "degraded   rerank: 50 % of the last 20 answers",
        "rollout    Reranker: UPDATING",
    ]
