"""The times of each stage: measured on a machine, or written by hand for hardware that is not at hand."""

import math
from typing import Literal, get_args

from pydantic import Field

from serve.cli.capacity.yaml_model import YamlModel

StageName = Literal["ingress", "embed", "dense", "lexical", "rerank", "generate"]
STAGES: tuple[StageName, ...] = get_args(StageName)
# Messages to these stages may carry many queries. Generation has one stream per query.
COALESCED: tuple[StageName, ...] = ("embed", "dense", "lexical", "rerank")
SHARDED: tuple[StageName, ...] = ("dense", "lexical")
DEPLOYMENTS: dict[StageName, str] = {
    "ingress": "Ingress",
    "embed": "Embedder",
    "dense": "DenseSearcher",
    "lexical": "LexicalSearcher",
    "rerank": "Reranker",
    "generate": "Generator",
}

MESSAGE_CPU = "CPU seconds of the replica per message; default: those of the ingress."


class Growth(YamlModel):
    """The part of a search's time per item that grows with the number of chunks in a replica.

    flat compares with every vector: linear. HNSW walks a graph: log (Malkov and Yashunin, arXiv 1603.09320). IVF-PQ
    with 4 sqrt(n) cells and a fixed number of probes reads O(sqrt(n)) vectors. BM25's postings are linear.
    """

    kind: Literal["linear", "sqrt", "log"]
    at_chunks: int = Field(ge=2, description="Number of chunks that `per_item_s` was measured with.")
    per_item_s: float = Field(ge=0, le=600, description="Seconds per item of a batch, at `at_chunks`.")

    def seconds(self, chunks: float) -> float:
        """Seconds of one item among `chunks` chunks."""
        return self.per_item_s * growth_of(self.kind, max(chunks, 2.0)) / growth_of(self.kind, self.at_chunks)


def growth_of(kind: str, chunks: float) -> float:
    """A number proportional to the time of a search among `chunks` chunks."""
    if kind == "linear":
        return chunks
    return math.sqrt(chunks) if kind == "sqrt" else math.log(chunks)


class BatchTimes(YamlModel):
    """A batch of n items takes fixed_s + per_item_s n. An item is the work of one query in the stage."""

    fixed_s: float = Field(default=0.0, ge=0, le=600, description="Seconds per batch, whatever its size.")
    per_item_s: float = Field(gt=0, le=600, description="Additional seconds per item.")
    max_batch: int = Field(default=1, ge=1, le=4096, description="Largest useful batch, in items.")
    cpus: float = Field(default=1.0, gt=0, le=512, description="Cores that a replica uses while it computes.")
    gpus: float = Field(default=0.0, ge=0, le=16, description="GPUs per replica; may be a fraction.")
    memory_gb: float = Field(default=0.5, gt=0, le=65_536, description="Memory of a replica without its index, in GB.")
    tokens_per_item: int | None = Field(
        default=None, ge=1, description="Tokens per item, for stages that batch by tokens."
    )
    growth: Growth | None = Field(
        default=None, description="For searches: the part of the time that grows with the chunks."
    )
    bytes_per_chunk: float = Field(default=0.0, ge=0, description="Memory of the index per chunk, in bytes.")
    mapped_bytes_per_chunk: float = Field(
        default=0.0, ge=0, le=1e6, description="Bytes per chunk that are mapped from disk, such as token vectors."
    )
    resident_fraction: float = Field(
        default=0.1, ge=0, le=1, description="Fraction of the mapped bytes that counts as memory; the rest is disk."
    )
    message_cpu_s: float | None = Field(default=None, ge=0, le=1, description=MESSAGE_CPU)

    def seconds(self, items: float) -> float:
        """Seconds of a batch."""
        return self.fixed_s + self.per_item_s * items

    def per_s(self, batch: float) -> float:
        """Queries per second of one replica whose batches all have this size."""
        return batch / self.seconds(batch)

    def with_chunks(self, chunks: float) -> "BatchTimes":
        """The times and the memory of a replica that holds `chunks` chunks."""
        if self.growth is None:
            return self
        update = {
            "per_item_s": self.per_item_s + self.growth.seconds(chunks),
            "memory_gb": self.memory_gb + self.index_gb(chunks),
        }
        return self.model_copy(update=update)

    def index_gb(self, chunks: float) -> float:
        """Memory of an index of `chunks` chunks, in GB."""
        return chunks * (self.bytes_per_chunk + self.resident_fraction * self.mapped_bytes_per_chunk) / 1e9

    def disk_gb(self, chunks: float) -> float:
        """Disk of a replica with `chunks` chunks, in GB: what it maps, and a snapshot of its index."""
        return chunks * (self.bytes_per_chunk + self.mapped_bytes_per_chunk) / 1e9

    @property
    def is_continuous(self) -> bool:
        return False


class GenerationTimes(YamlModel):
    """An engine with continuous batching. A step adds a token to each of n requests, in step_s + step_item_s n."""

    prefill_s: float = Field(ge=0, le=600, description="Engine seconds to prefill one prompt.")
    step_s: float = Field(gt=0, le=60, description="Seconds per decoding step, whatever its size.")
    step_item_s: float = Field(ge=0, le=60, description="Additional seconds per request in the step.")
    tokens: int = Field(ge=1, le=1_000_000, description="Mean number of tokens of an answer.")
    max_requests: int = Field(ge=1, le=4096, description="Highest number of concurrent requests in the engine.")
    cpus: float = Field(default=1.0, gt=0, le=512, description="Cores of a replica.")
    gpus: float = Field(default=0.0, ge=0, le=16, description="GPUs per replica; may be a fraction.")
    memory_gb: float = Field(default=4.0, gt=0, le=65_536, description="Host memory of a replica, in GB.")
    message_cpu_s: float | None = Field(default=None, ge=0, le=1, description=MESSAGE_CPU)

    def as_batch(self) -> "ContinuousTimes":
        """The same times per query.

        Let n requests be in the engine, and x of them finish per second. The prefills of other requests interrupt a
        request, so it lives L = tokens (step_s + step_item_s n) + prefill_s x L. With n = x L (Little) this is affine
        in n: L = tokens step_s + (tokens step_item_s + prefill_s) n.
        """
        return ContinuousTimes(
            fixed_s=self.tokens * self.step_s,
            per_item_s=max(1e-9, self.tokens * self.step_item_s + self.prefill_s),
            max_batch=self.max_requests,
            cpus=self.cpus,
            gpus=self.gpus,
            memory_gb=self.memory_gb,
            message_cpu_s=self.message_cpu_s,
        )


class ContinuousTimes(BatchTimes):
    """A request starts at once and lives fixed_s + per_item_s n among n requests."""

    @property
    def is_continuous(self) -> bool:
        return True


class IngressTimes(YamlModel):
    """The HTTP replica: one event loop, so its time is CPU time."""

    cpu_s: float = Field(gt=0, le=10, description="CPU seconds per query, without messages.")
    message_cpu_s: float = Field(default=0.0, ge=0, le=1, description="CPU seconds per message.")
    hop_s: float = Field(default=0.0, ge=0, le=1, description="Seconds of transport of a message and its reply.")
    max_wait_s: float = Field(default=0.01, ge=0, le=1, description="See CoalescingConfig.max_wait_s.")
    memory_gb: float = Field(default=0.5, gt=0, le=65_536, description="Memory of a replica, in GB.")

    def queries_per_message(self, queries_per_s: float) -> float:
        """Mean number of queries that share a message: those that arrive during the previous one. See Coalescer."""
        wait_s = min(self.max_wait_s, self.hop_s) if self.hop_s else self.max_wait_s
        return 1 + queries_per_s * wait_s

    def as_batch(self, queries_per_s: float, num_calls: int = len(COALESCED)) -> BatchTimes:
        """One query at a time, with its part of the shared messages of `num_calls`, and one to the generator."""
        messages = num_calls / self.queries_per_message(queries_per_s) + 1
        return BatchTimes(per_item_s=self.cpu_s + self.message_cpu_s * messages, memory_gb=self.memory_gb)


class Profile(YamlModel):
    """Times of every stage by class of hardware."""

    note: str = Field(description="Source of the times.")
    is_simulated: bool = Field(default=False, description="True if the times were not measured.")
    stored_bytes_per_chunk: float = Field(
        default=4_000.0, ge=0, le=1e7, description="Disk of the database per chunk, without token vectors."
    )
    ingress: dict[str, IngressTimes] = Field(min_length=1)
    embed: dict[str, BatchTimes] = Field(min_length=1)
    dense: dict[str, BatchTimes] = Field(min_length=1)
    lexical: dict[str, BatchTimes] = Field(min_length=1)
    rerank: dict[str, BatchTimes] = Field(min_length=1)
    generate: dict[str, GenerationTimes | BatchTimes] = Field(min_length=1)

    def times(self, stage: StageName, queries_per_s: float, num_calls: int = len(COALESCED)) -> dict[str, BatchTimes]:
        """The stage's times by class. They depend on the rate, because concurrent calls share messages.

        `num_calls`: of one query to the stages, without the generator; more if there are shards.
        """
        if stage == "ingress":
            return {name: times.as_batch(queries_per_s, num_calls) for name, times in self.ingress.items()}
        by_class: dict[str, GenerationTimes | BatchTimes] = getattr(self, stage)
        batches = {
            name: times.as_batch() if isinstance(times, GenerationTimes) else times for name, times in by_class.items()
        }
        return {name: self._with_messages(stage, name, times, queries_per_s) for name, times in batches.items()}

    def with_token_bytes(self, bytes_per_chunk: float) -> "Profile":
        """The profile with stored token vectors of this size per chunk."""
        update = {"mapped_bytes_per_chunk": bytes_per_chunk}
        dense = {name: times.model_copy(update=update) for name, times in self.dense.items()}
        return self.model_copy(update={"dense": dense})

    def message_s(self, stage: StageName, name: str, queries_per_s: float) -> float:
        """CPU seconds of a replica for its part of one query's message. A GPU computes while messages are handled."""
        times = getattr(self, stage)[name]
        ingress = self.ingress.get(name)
        if ingress is None or times.gpus:
            return 0.0
        num_queries = ingress.queries_per_message(queries_per_s) if stage in COALESCED else 1.0
        cpu_s: float = ingress.message_cpu_s if times.message_cpu_s is None else times.message_cpu_s
        return cpu_s / num_queries

    def _with_messages(self, stage: StageName, name: str, times: BatchTimes, queries_per_s: float) -> BatchTimes:
        per_item_s = times.per_item_s + self.message_s(stage, name, queries_per_s)
        return times.model_copy(update={"per_item_s": per_item_s})

    @property
    def hop_s(self) -> float:
        """Transport time between two stages, of the slowest class."""
        return max(times.hop_s for times in self.ingress.values())
