"""Generated tokens a second and the time to the first: /v1/chat/completions against `vllm serve`, the same engine."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import yaml

from models.vllm.engine import cpu_engine_environment
from serve.cli.bench.models.memory import pss_mb, replicas_of
from serve.cli.bench.models.offline import weights_mb
from serve.cli.bench.models.rows import (
    MAX_FIRST_TOKEN_MS,
    ModelsPlan,
    Row,
    first_token_rows,
    skipped,
    throughput_rows,
)
from serve.cli.bench.models.session import Session
from serve.cli.driver.closed_loop import Load
from serve.cli.driver.random_models import build_llama
from serve.cli.driver.servers import OURS, Server, vllm_serve
from serve.cli.driver.turns import Contender, Target, served
from serve.cli.driver.workload import LLM_PROMPT_WORDS, chat_bodies

ALIAS, VLLM = "bench-llm", "vllm serve"
MODELS = {OURS: ALIAS, VLLM: "model"}  # each server's name of the model
NUM_STREAMS, TOKENS_PER_STREAM, FIRST_TOKEN_STREAM_TOKENS = 16, 128, 16
NUM_PROMPTS = 2048
MAX_MODEL_LEN, MAX_SEQS, KV_CACHE_GIB = 2048, 64, 1
PATH = "/v1/chat/completions"


def rows(session: Session) -> Iterator[Row]:
    """Both engines run at the same time, and take turns."""
    plan = session.plan
    llm = plan.llm or build_llama(session.encoder, session.folder / ALIAS)
    catalog = write_catalog(session.folder / "llm.yaml", llm, plan)
    with ExitStack() as stack:
        ours = session.start_ragserve(stack, {"Generator": ALIAS}, catalog)
        launch = vllm_serve(llm, _flags(plan), _environment(plan))
        theirs = session.start_peer(stack, VLLM, lambda: launch)
        running = {OURS: ours} if theirs is None else {OURS: ours, VLLM: theirs}
        what = f"generate {TOKENS_PER_STREAM} tokens, {NUM_STREAMS} streams"
        contenders = _contenders(session, running, TOKENS_PER_STREAM, NUM_STREAMS, Target(0.95))
        session.report(what)
        yield from throughput_rows(what, "tokens/s", contenders, session.compare(contenders))
        what, target = "time to first token, 1 client", Target(MAX_FIRST_TOKEN_MS, is_difference=True)
        contenders = _contenders(session, running, FIRST_TOKEN_STREAM_TOKENS, 1, target)
        session.report(what)
        yield from first_token_rows(what, contenders, session.compare(contenders))
        yield from memory_rows(running, weights_mb(llm))
        if theirs is None:
            yield skipped("generation", VLLM, session.missing[VLLM])


def memory_rows(running: dict[str, Server], weights: float) -> Iterator[Row]:
    """Of both, with the processes of their engines, which have the weights and the KV cache."""
    what, note = "memory of generation", f"weights {weights:.0f} MB, KV cache {KV_CACHE_GIB} GiB"
    processes = {OURS: replicas_of(running[OURS])["Generator"]}
    if VLLM in running:
        processes[VLLM] = psutil.Process(running[VLLM].pid)
    for name, process in processes.items():
        yield Row(what, name, "MB", pss_mb([process]), note=note)


def write_catalog(path: Path, llm: Path, plan: ModelsPlan) -> Path:
    """The engine's settings in our catalog; `_flags` and `_environment` are the same settings for vLLM's own server."""
    on_cpu = {"cpu_kv_cache_gib": KV_CACHE_GIB, "cpu_threads": plan.threads} if plan.device == "cpu" else {}
    options = {
        "source": str(llm),
        "max_model_len": MAX_MODEL_LEN,
        "engine_kwargs": {"dtype": "bfloat16", "max_num_seqs": MAX_SEQS, "enforce_eager": plan.device == "cpu"},
        **on_cpu,
    }
    entry = {"kind": "vllm", "licence": "Apache-2.0", "options": options}
    path.write_text(yaml.safe_dump({"generation": {ALIAS: entry}}))
    return path


def _flags(plan: ModelsPlan) -> list[str]:
    flags = ["--max-model-len", str(MAX_MODEL_LEN), "--max-num-seqs", str(MAX_SEQS), "--dtype", "bfloat16"]
    return [*flags, "--disable-uvicorn-access-log", *(["--enforce-eager"] if plan.device == "cpu" else [])]


def _environment(plan: ModelsPlan) -> dict[str, str]:
    return cpu_engine_environment(KV_CACHE_GIB, plan.threads) if plan.device == "cpu" else {}


def _contenders(
    session: Session, running: dict[str, Server], tokens: int, clients: int, target: Target
) -> list[Contender]:
    """The same prompts for both, each sent once."""
    prompts = [session.words.text(LLM_PROMPT_WORDS) for _ in range(NUM_PROMPTS)]
    contenders = []
    for name, server in running.items():
        bodies = session.write(f"chat-{tokens}-{server.port}", chat_bodies(prompts, MODELS[name], tokens))
        load = Load("", 0, PATH, str(bodies), clients, 0.0, repeats=False, stream=True)
        contenders.append(served(name, server, load, None if name == OURS else target))
    return contenders
