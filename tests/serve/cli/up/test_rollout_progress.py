"""What `ragserve up` says of a changed file until every replica follows it."""

from collections.abc import Mapping
from io import StringIO

import pytest
from rich.console import Console

from serve.cli.up.progress import RolloutProgress


def test_a_roll_out_is_over_when_serve_changes_nothing_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RolloutProgress, "SETTLE_S", 0.0)
    output = StringIO()
    progress = RolloutProgress(Console(file=output, width=100))
    states: list[Mapping[str, str]] = [
        {"Reranker": "updating: 1 running, 1 starting"},
        {"Reranker": "deploy_failed: 1 running"},
        {"Reranker": "deploy_failed: 1 running"},
        {},
        {"Reranker": "updating: never read"},
    ]

    progress.report(lambda: states[0])
    before = output.getvalue()
    progress.begin()
    for state in states:
        progress.report(lambda state=state: state)  # type: ignore[misc]

    assert before == ""
    assert output.getvalue() == "Reranker: deploy_failed: 1 running\nrolled out after 0 s\n"
