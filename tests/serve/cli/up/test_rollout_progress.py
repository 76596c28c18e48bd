"""What `ragserve up` says of a changed file until every replica follows it."""

from io import StringIO

import pytest
from rich.console import Console

from serve.cli.up.progress import Look, RolloutProgress


def test_a_roll_out_is_over_when_nothing_changes_or_loads_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RolloutProgress, "SETTLE_S", 0.0)
    output = StringIO()
    progress = RolloutProgress(Console(file=output, width=100))
    looks = [
        Look({"rerank": "updating: late-interaction"}, {}),
        Look({"Reranker": "deploy_failed: 1 running"}, {"embed": "model 'new' does not load"}),
        Look({"Reranker": "deploy_failed: 1 running"}, {"embed": "model 'new' does not load"}),
        Look({}, {"embed": "model 'new' does not load"}),
        Look({"Reranker": "updating: never read"}, {}),
    ]

    progress.report(lambda: looks[0])
    before = output.getvalue()
    progress.begin()
    for look in looks:
        progress.report(lambda look=look: look)  # type: ignore[misc]

    assert before == ""
    assert output.getvalue().splitlines() == [
        "Reranker: deploy_failed: 1 running",
        "embed: model 'new' does not load",
        "rolled out after 0 s",
    ]
