"""`ragserve bench peers`: the servers, the workload, the target, the rows."""

import json
import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from models.errors.requests import InvalidRequestError
from serve.cli.bench.peers import servers as peers_servers
from serve.cli.bench.peers.plot import draw
from serve.cli.bench.peers.rows import (
    HAYSTACK,
    LANGCHAIN,
    NONE,
    TARGET_CLIENTS,
    PeersPlan,
    Row,
    overlap,
    reaches_target,
    rows_of,
    table_row,
    write_json,
)
from serve.cli.bench.peers.run import Session, measure_all
from serve.cli.bench.peers.workload import Workload, own_corpus, read_prepared, read_workload
from serve.cli.driver.closed_loop import LoadResult
from serve.cli.driver.corpus.prepared import PreparedCorpus
from serve.cli.driver.peers.environments import REQUIREMENTS
from serve.cli.driver.peers.settings import (
    VARIABLE,
    ExtractiveAnswer,
    IndexedChunk,
    PeerSettings,
    read_chunks,
    write_chunks,
)
from serve.cli.driver.random_models import CROSS_ENCODER
from serve.cli.driver.servers import OURS, Launch
from serve.config_file import Machine, check, read, settings_of

ROOT = Path(__file__).parents[4]
PLAN = PeersPlan(ROOT / "serve_config.yaml", Path("peers"), None, None, (1, 16), 2.0, 1)
CHUNKS = [IndexedChunk("c1", "The oven heats to 250 degrees.", "Oven"), IndexedChunk("c2", "It rains.", "")]


def result(per_s: float, p95_s: float, errors: int = 0, messages: tuple[str, ...] = ()) -> LoadResult:
    return LoadResult(per_s, 100, errors, p95_s / 2, p95_s, p95_s * 2, messages=messages)


class TestTarget:
    @pytest.mark.parametrize(
        ("ours", "theirs", "reached"),
        [
            (result(6.0, 4.0), result(2.0, 4.0), True),
            (result(5.9, 4.0), result(2.0, 4.0), False),
            (result(6.0, 4.1), result(2.0, 4.0), False),
            (result(6.0, 4.0, errors=1), result(2.0, 4.0), False),
        ],
    )
    def test_it_is_three_times_the_queries_with_a_p95_no_worse(
        self, ours: LoadResult, theirs: LoadResult, reached: bool
    ) -> None:
        assert reaches_target(ours, theirs) is reached

    def test_it_is_four_times_where_the_peers_do_not_rerank(self) -> None:
        ours, theirs = result(7.9, 4.0), result(2.0, 4.0)

        assert (reaches_target(ours, theirs), reaches_target(ours, theirs, NONE)) == (True, False)
        row = rows_of(16, {OURS: ours, LANGCHAIN: theirs}, {}, NONE)[1]
        assert table_row(row).startswith(f"| none | 16 | {LANGCHAIN} |")
        assert "| 3.95 (short) | 4, p95 no worse |" in table_row(row)

    def test_it_is_set_at_sixteen_clients_alone(self) -> None:
        results = {OURS: result(2.0, 1.0), HAYSTACK: result(1.0, 2.0)}

        short = [rows_of(clients, results, {})[1].is_short for clients in (1, TARGET_CLIENTS)]

        assert short == [False, True]


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match="choose from cross-encoder, none"):
        replace(PLAN, modes=("colbert",))


@pytest.mark.parametrize("clients", [(0,), (1, 257)])
def test_a_number_of_clients_out_of_bounds_is_refused(clients: tuple[int, ...]) -> None:
    with pytest.raises(InvalidRequestError, match="each is from 1 to 256"):
        replace(PLAN, clients=clients)


class TestRows:
    def test_each_peer_is_compared_with_ragserve(self) -> None:
        results = {OURS: result(6.0, 1.0), HAYSTACK: result(2.0, 3.0), LANGCHAIN: result(1.5, 4.0)}

        rows = rows_of(16, results, {HAYSTACK: "2 threads"})

        assert [(row.by, row.ratio) for row in rows] == [(OURS, None), (HAYSTACK, 3.0), (LANGCHAIN, 4.0)]
        assert (rows[1].p50_ms, rows[1].p95_ms, rows[1].note) == (1500.0, 3000.0, "2 threads")

    def test_a_peer_that_answers_nothing_is_compared_with_nothing(self) -> None:
        results = {OURS: result(6.0, 1.0), HAYSTACK: result(0.0, 0.0, errors=9, messages=("HTTP 500: no",))}

        peer = rows_of(16, results, {HAYSTACK: "2 threads"})[1]

        assert (peer.ratio, peer.errors, peer.note) == (None, 9, "2 threads; HTTP 500: no")

    def test_the_table_marks_what_is_short(self) -> None:
        rows = rows_of(16, {OURS: result(2.0, 1.0), HAYSTACK: result(1.0, 3.0, messages=("a | b\nc",))}, {})

        assert table_row(rows[0]) == f"| cross-encoder | 16 | {OURS} | 2.00 | 500 / 1,000 | 0 |  |  |  |"
        assert table_row(rows[1]) == (
            f"| cross-encoder | 16 | {HAYSTACK} | 1.00 | 1,500 / 3,000 | 0 | 2.00 (short) | 3, p95 no worse | a / b c |"
        )

    def test_rows_are_written_and_drawn(self, tmp_path: Path) -> None:
        rows = [Row(OURS, 1, 2.0, 500, 600, 0), Row(HAYSTACK, 1, 1.0, 900, 1000, 0, 2.0), Row(OURS, 16, 2.0, 1, 2, 0)]

        write_json(tmp_path / "out" / "peers.json", rows, {"chunks": "2"})
        draw(rows, tmp_path / "out" / "peers.png")

        written = json.loads((tmp_path / "out" / "peers.json").read_text())
        assert written["facts"] == {"chunks": "2"}
        assert written["rows"][1]["ratio"] == 2.0
        assert (tmp_path / "out" / "peers.png").stat().st_size > 0


def test_overlap_is_the_fraction_of_our_passages_that_are_among_theirs() -> None:
    assert overlap([["a", "b"], ["c", "d"]], [["b", "a"], ["d", "e"]]) == 0.75


class TestWorkload:
    def test_by_default_it_is_this_repository_s_own_pages(self) -> None:
        workload = read_workload(None, None)

        assert {"bench/README.md", "bench/architecture.md"} <= set(workload.corpus.filenames)
        assert "How do I swap the reranker?" in workload.questions

    def test_a_question_set_brings_its_documents_and_questions(self, tmp_path: Path) -> None:
        (tmp_path / "corpus.jsonl").write_text('{"_id": "d1", "title": "Oven", "text": "It heats."}\n')
        (tmp_path / "queries.jsonl").write_text('{"_id": "q1", "text": "Does it heat?"}\n')
        (tmp_path / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td1\t1\n")
        own = tmp_path / "questions.txt"
        own.write_text("\nHow hot?\n")

        assert [document.content for document in read_workload(tmp_path, None).corpus.documents] == ["Oven\nIt heats."]
        assert read_workload(tmp_path, None).questions == ("Does it heat?",)
        assert read_workload(tmp_path, own).questions == ("How hot?",)

    def test_questions_come_in_an_order_that_is_always_the_same(self, tmp_path: Path) -> None:
        path = tmp_path / "questions.txt"
        path.write_text("\n".join(f"question {number}" for number in range(50)))

        once, again = read_workload(None, path).questions, read_workload(None, path).questions

        assert once == again
        assert sorted(once) == sorted(path.read_text().splitlines())


class TestServers:
    def test_ragserve_reranks_as_many_candidates_as_its_peers_and_waits_for_it(self, tmp_path: Path) -> None:
        catalog = tmp_path / "catalog.yaml"
        catalog.write_text("reranking: {}\n")

        peers_servers.ragserve(PLAN, tmp_path, catalog)

        retrieval = settings_of(read(tmp_path / "serve_config.yaml")).retrieval
        assert retrieval.candidates == retrieval.rerank_candidates == peers_servers.CANDIDATES
        assert retrieval.rerank_s == peers_servers.BUDGET_S

    def test_its_file_is_one_that_can_be_deployed(self, tmp_path: Path) -> None:
        catalog = tmp_path / "catalog.yaml"
        entry = {"kind": "cross_encoder", "licence": "Apache-2.0", "options": {"source": str(tmp_path)}}
        catalog.write_text(yaml.safe_dump({"reranking": {CROSS_ENCODER: entry}}))

        peers_servers.ragserve(PLAN, tmp_path, catalog)

        assert check(read(tmp_path / "serve_config.yaml"), Machine(2, 0)) == []

    def test_without_a_cross_encoder_it_reranks_as_it_ships(self, tmp_path: Path) -> None:
        peers_servers.ragserve(PLAN, tmp_path, tmp_path / "catalog.yaml", NONE)

        raw = read(tmp_path / "serve_config.yaml")
        reranker = next(entry for entry in raw["applications"][0]["deployments"] if entry["name"] == "Reranker")
        assert reranker["user_config"]["model"] == "late-interaction"

    @pytest.mark.parametrize("name", [HAYSTACK, LANGCHAIN])
    def test_a_peer_is_asked_not_to_rerank(self, name: str) -> None:
        api = peers_servers.without_reranking(peers_servers.PEERS[name].api)

        assert api.body("How hot?") == {"query": "How hot?", "rerank": False}

    def test_every_question_goes_through_both_searches(self) -> None:
        body = peers_servers.our_api("vs_1").body("How hot?")

        assert (body["query"], body["mode"], body["vector_store_ids"]) == ("How hot?", "hybrid", ["vs_1"])
        assert body["ranking_options"] == {"fusion": "rrf", "dedup": False}

    @pytest.mark.parametrize(
        ("name", "answer"),
        [
            (HAYSTACK, {"result": {"passages": [{"chunk_id": "c2"}, {"chunk_id": "c1"}]}}),
            (LANGCHAIN, {"passages": [{"chunk_id": "c2"}, {"chunk_id": "c1"}]}),
        ],
    )
    def test_the_passages_are_read_from_each_peer_s_answer(self, name: str, answer: dict[str, object]) -> None:
        assert peers_servers.PEERS[name].api.chunk_ids(answer) == ["c2", "c1"]

    @pytest.mark.parametrize("peer", ["haystack", "langchain", "llamaindex"])
    def test_every_version_of_a_peer_is_pinned_and_torch_is_ragserve_s_own(self, peer: str) -> None:
        lines = (REQUIREMENTS / f"{peer}.txt").read_text().splitlines()
        pins = [line for line in lines if not line.startswith("#")]
        torch = next(line for line in (ROOT / "requirements" / "cpu.txt").read_text().splitlines() if "torch==" in line)

        assert all("==" in pin for pin in pins)
        assert torch.partition("+")[0] in pins


class TestPeersOwnSide:
    def test_settings_and_chunks_reach_the_peer(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        chunks = write_chunks(tmp_path / "chunks.jsonl", CHUNKS)
        settings = PeerSettings("encoder", "cross", str(chunks), "vectors.npy", 30, 5, "float32")
        monkeypatch.setenv(VARIABLE, str(settings.write(tmp_path / "peer.json")))

        assert PeerSettings.of_environment() == settings
        assert read_chunks(settings) == CHUNKS
        assert [chunk.indexed_text for chunk in CHUNKS] == ["Oven\nThe oven heats to 250 degrees.", "It rains."]

    def test_the_answer_is_the_extractive_one_of_the_passages(self) -> None:
        response = ExtractiveAnswer(CHUNKS).response("How hot does the oven get?", ["c1", "c2"])

        assert str(response["answer"]).startswith("The oven heats to 250 degrees. [1]")
        assert [passage["chunk_id"] for passage in response["passages"]] == ["c1", "c2"]  # type: ignore[attr-defined]


def test_over_a_prepared_corpus_every_load_begins_at_another_question(prepared: PreparedCorpus, tmp_path: Path) -> None:
    workload = read_prepared(prepared.folder)
    plan = replace(PLAN, corpus=prepared.folder, modes=("none", "cross-encoder"))

    with ExitStack() as stack:
        session = Session(plan, tmp_path, lambda _: None, stack)
        first = session.next_questions(workload)
        session.num_loads_done = 2
        third = session.next_questions(workload)

    assert len(first) == 16
    assert third == first[8:] + first[:8]


def test_a_run_measures_every_server_with_every_number_of_clients(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "serve.cli.driver.constant_server", "{port}", "64"]
    api = peers_servers.PEERS[LANGCHAIN].api
    workload = Workload(own_corpus(ROOT), ("How hot?", "How cold?"))

    with ExitStack() as stack:
        session = Session(replace(PLAN, turn_s=0.3), tmp_path, lambda _: None, stack)
        for name in (OURS, LANGCHAIN):
            session.start(Launch(name, command, "/"), api, threads=1)
        rows = [row for clients in (1, 4) for row in measure_all(session, workload, clients)]

    assert [(row.by, row.clients) for row in rows] == [(OURS, 1), (LANGCHAIN, 1), (OURS, 4), (LANGCHAIN, 4)]
    assert all(row.per_s > 0 and not row.errors for row in rows)
