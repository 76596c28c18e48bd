"""`ragserve bench tenants`: a quiet tenant's questions, alone and beside a flood, in turns.

The flood of the quiet tenant's own is what it would suffer without fair shares: the same work, in one share.
"""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

import openai

from models.corpus.api_keys import ApiKeys
from models.corpus.database import open_database
from models.errors.configuration import ConfigError
from serve.cli.driver.closed_loop import Load, LoadResult, drive
from serve.cli.driver.workload import write_bodies
from serve.config_file import read, settings_of

QUIET, LOUD = "bench-quiet", "bench-loud"
ALONE, OTHER, SAME = "alone", "beside a flood of another tenant", "beside a flood of its own"
PATH = "/v1/query"
NUM_DOCUMENTS, NUM_QUESTIONS = 20, 2_000
DOCUMENT = "The pier of granite{number} lies beside tower{number}, and keeper{number} guards it.\n"
QUESTION = "Question {question}: which pier lies beside tower{number}, and who guards it?"
WARM_S = 2.0  # of the flood, before the quiet tenant's questions count
KEY_S = 3600  # a run that is killed leaves keys that end by themselves
INGEST_LIMIT_S = 120.0
HEAD = (
    "| questions of a tenant, one at a time | answers | errors | p50 ms (each turn) | p95 ms (each turn) | answers a "
    "second of the flood, errors |\n|---|---|---|---|---|---|"
)


@dataclass(frozen=True)
class TenantsPlan:
    """The service, by its address and its files, and the load."""

    url: str
    config: Path
    data: Path | None
    clients: int
    seconds: float
    num_turns: int

    def as_quick(self) -> "TenantsPlan":
        return replace(self, clients=8, seconds=2.0, num_turns=1)


@dataclass(frozen=True)
class Turn:
    """The quiet tenant's questions, and the flood beside them, if there is one."""

    quiet: LoadResult
    flood: LoadResult | None


@dataclass(frozen=True)
class Row:
    """The turns of a condition."""

    name: str
    turns: list[Turn]

    def line(self) -> str:
        quiet = [turn.quiet for turn in self.turns]
        floods = [turn.flood for turn in self.turns if turn.flood is not None]
        rate = (
            f"{median(flood.per_s for flood in floods):.1f}, {sum(flood.errors for flood in floods)}" if floods else ""
        )
        counts = (sum(each.requests for each in quiet), sum(each.errors for each in quiet))
        times = (_times([each.p50_s for each in quiet]), _times([each.p95_s for each in quiet]))
        return f"| {' | '.join(map(str, (self.name, *counts, *times, rate)))} |"


def run(plan: TenantsPlan, report: Callable[[str], None]) -> list[Row]:
    """Raises ConfigError if the service does not take the keys."""
    rows = [Row(name, []) for name in (ALONE, OTHER, SAME)]
    with ExitStack() as stack:
        keys = stack.enter_context(_keys(plan))
        for key in keys.values():
            stack.enter_context(_documents(plan.url, key))
        bodies = write_bodies(Path(stack.enter_context(TemporaryDirectory())) / "bodies.jsonl", _questions())
        floods = {ALONE: None, OTHER: keys[LOUD], SAME: keys[QUIET]}
        for number in range(plan.num_turns):
            for row in rows:
                row.turns.append(_turn(plan, bodies, keys[QUIET], floods[row.name]))
            report(f"turn {number + 1} of {plan.num_turns}")
    return rows


def _turn(plan: TenantsPlan, bodies: Path, key: str, flood_key: str | None) -> Turn:
    address = urlsplit(plan.url)
    quiet = Load(str(address.hostname), address.port or 80, PATH, str(bodies), 1, plan.seconds, warm_s=WARM_S, key=key)
    if flood_key is None:
        return Turn(drive(quiet), None)
    flood = replace(quiet, clients=plan.clients, first=NUM_QUESTIONS // 2, key=flood_key)
    with ThreadPoolExecutor(1) as pool:
        flooding = pool.submit(drive, flood)
        return Turn(drive(quiet), flooding.result())


def _times(seconds: list[float]) -> str:
    return f"{1000 * median(seconds):.0f} ({', '.join(f'{1000 * each:.0f}' for each in seconds)})"


def _questions() -> list[dict[str, object]]:
    return [
        {"query": QUESTION.format(question=question, number=question % NUM_DOCUMENTS)}
        for question in range(NUM_QUESTIONS)
    ]


@contextmanager
def _keys(plan: TenantsPlan) -> Iterator[dict[str, str]]:
    """A writer's key of each tenant, revoked after the block."""
    storage = settings_of(read(plan.config)).storage
    url = (storage if plan.data is None else storage.model_copy(update={"data_dir": plan.data})).url
    database = open_database(url, storage.database)
    store = ApiKeys(database, time.time)
    try:
        created = {
            tenant: store.create(tenant, "ragserve bench tenants", "writer", None, int(time.time()) + KEY_S, {})
            for tenant in (QUIET, LOUD)
        }
        try:
            yield {tenant: secret for tenant, (_, secret) in created.items()}
        finally:
            for key, _ in created.values():
                store.revoke(key.key_id)
    finally:
        database.close()


@contextmanager
def _documents(url: str, key: str) -> Iterator[None]:
    """Files in the tenant's default vector store, which are deleted after the block. Raises ConfigError."""
    with openai.OpenAI(base_url=f"{url}/v1", api_key=key) as client:
        file_ids: list[str] = []
        try:
            for number in range(NUM_DOCUMENTS):
                content = DOCUMENT.format(number=number).encode()
                file_ids.append(client.files.create(file=(f"tower{number}.md", content), purpose="assistants").id)
                client.vector_stores.files.create("default", file_id=file_ids[-1])
            _wait_until_ingested(client)
            yield
        except openai.AuthenticationError as error:
            raise ConfigError(url, f"refuses a new key, so --data names another service: {error}") from None
        finally:
            for file_id in file_ids:
                client.files.delete(file_id)


def _wait_until_ingested(client: openai.OpenAI) -> None:
    end = time.monotonic() + INGEST_LIMIT_S
    while client.vector_stores.retrieve("default").file_counts.in_progress:
        if time.monotonic() > end:
            raise ConfigError("default", f"its files are not ingested after {INGEST_LIMIT_S:g} s")
        time.sleep(0.2)
