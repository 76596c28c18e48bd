"""The benchmark of stored token vectors measures what it says."""

from pathlib import Path

from serve.cli.bench.search.tokens import HEAD, run

NUM_CHUNKS = 2_100  # enough for a snapshot


def test_a_row_has_the_size_and_the_times_of_a_view(tmp_path: Path) -> None:
    reports: list[str] = []

    (row,) = run([NUM_CHUNKS], 32, tmp_path, reports.append)

    # 170 tokens pooled by two, in at least one bit and at most 16 a dimension, with a header and scales.
    assert 85 * 32 / 8 < row.chunk_bytes < 85 * 32 * 2 + 200
    assert 0 < row.cold_s[0] <= row.cold_s[1]
    assert 0 < row.warm_s[0] <= row.warm_s[1]
    assert min(row.stored_per_s, row.rebuilt_per_s, row.start_s, row.alone_s[0]) > 0
    assert row.line().count("|") == HEAD.splitlines()[0].count("|")
    assert len(reports) == 2
