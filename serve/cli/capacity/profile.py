"""What each stage costs: measured on a machine, or put down by hand for one that is not there."""

import math
from typing import Literal, get_args

from pydantic import Field

from serve.cli.capacity.yaml_model import YamlModel

StageName = Literal["ingress", "embed", "dense", "lexical", "rerank", "generate"]
STAGES: tuple[StageName, ...] = get_args(StageName)
# A message may hold many queries in these; generation is a stream a query.
COALESCED: tuple[StageName, ...] = ("embed", "dense", "lexical", "rerank")
DEPLOYMENTS: dict[StageName, str] = {
    "ingress": "Ingress",
    "embed": "Embedder",
    "dense": "DenseSearcher",
    "lexical": "LexicalSearcher",
    "rerank": "Reranker",
    "generate": "Generator",
}


MESSAGE_CPU = "CPU that a message costs the replica; else as much as it costs the ingress."


class Growth(YamlModel):
    """The part of a search's time per item that grows with the chunks that one replica holds.

    flat compares with each (linear); HNSW walks a graph (log; Malkov and Yashunin, arXiv 1603.09320); IVF-PQ with
    4 sqrt(n) cells and a fixed number of probes reads a share of sqrt(n); BM25's postings are linear.
    """

    kind: Literal["linear", "sqrt", "log"]
    at_chunks: int = Field(ge=2, description="Chunks for which `per_item_s` is given.")
    per_item_s: float = Field(ge=0, le=600, description="For each item of a batch, at so many chunks.")

    def seconds(self, chunks: float) -> float:
        """Of one item, among so many chunks."""
        return self.per_item_s * growth_of(self.kind, max(chunks, 2.0)) / growth_of(self.kind, self.at_chunks)


def growth_of(kind: str, chunks: float) -> float:
    """What the time of a search is proportional to."""
    if kind == "linear":
        return chunks
    return math.sqrt(chunks) if kind == "sqrt" else math.log(chunks)


class BatchTimes(YamlModel):
    """A batch of n items takes fixed_s + per_item_s n. An item is all that one query asks of the stage."""

    fixed_s: float = Field(default=0.0, ge=0, le=600, description="Of a batch, whatever is in it.")
    per_item_s: float = Field(gt=0, le=600, description="More for each item.")
    max_batch: int = Field(default=1, ge=1, le=4096, description="Items past which a batch is of no more use.")
    cpus: float = Field(default=1.0, gt=0, le=512, description="Cores that a replica keeps busy while it computes.")
    gpus: float = Field(default=0.0, ge=0, le=16, description="GPUs of a replica, or its share of one.")
    memory_gb: float = Field(default=0.5, gt=0, le=65_536, description="Of a replica, without an index.")
    tokens_per_item: int | None = Field(default=None, ge=1, description="Of stages that batch by tokens.")
    growth: Growth | None = Field(default=None, description="Of a search: what its chunks add to per_item_s.")
    bytes_per_chunk: float = Field(default=0.0, ge=0, description="Of the index in memory.")
    message_cpu_s: float | None = Field(default=None, ge=0, le=1, description=MESSAGE_CPU)

    def seconds(self, items: float) -> float:
        """The time of a batch."""
        return self.fixed_s + self.per_item_s * items

    def per_s(self, batch: float) -> float:
        """Queries a second of one replica that always has a batch of so many."""
        return batch / self.seconds(batch)

    def holding(self, chunks: float) -> "BatchTimes":
        """The times and the memory of a replica that holds so many chunks."""
        if self.growth is None:
            return self
        grown = {
            "per_item_s": self.per_item_s + self.growth.seconds(chunks),
            "memory_gb": self.memory_gb + chunks * self.bytes_per_chunk / 1e9,
        }
        return self.model_copy(update=grown)

    @property
    def is_continuous(self) -> bool:
        return False


class GenerationTimes(YamlModel):
    """An engine that batches continuously: a step writes a token for each of n requests in step_s + step_item_s n."""

    prefill_s: float = Field(ge=0, le=600, description="Of the engine's time, for one prompt.")
    step_s: float = Field(gt=0, le=60, description="Of a decoding step, whatever is in it.")
    step_item_s: float = Field(ge=0, le=60, description="More for each request in the step.")
    tokens: int = Field(ge=1, le=1_000_000, description="That an answer has, in the mean.")
    max_requests: int = Field(ge=1, le=4096, description="In the engine at once.")
    cpus: float = Field(default=1.0, gt=0, le=512, description="Cores of a replica.")
    gpus: float = Field(default=0.0, ge=0, le=16, description="GPUs of a replica, or its share of one.")
    memory_gb: float = Field(default=4.0, gt=0, le=65_536, description="Host memory of a replica.")
    message_cpu_s: float | None = Field(default=None, ge=0, le=1, description=MESSAGE_CPU)

    def as_batch(self) -> "ContinuousTimes":
        """The same in a query's terms.

        With n requests in the engine and x of them finishing a second, a request lives L = tokens (step_s +
        step_item_s n) + prefill_s x L, for the prefills of the others interrupt it. As n = x L (Little), that is
        affine in n again: L = tokens step_s + (tokens step_item_s + prefill_s) n.
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
    """A request begins at once, and lives fixed_s + per_item_s n among n."""

    @property
    def is_continuous(self) -> bool:
        return True


class IngressTimes(YamlModel):
    """The HTTP replica: one event loop, whose time is CPU time."""

    cpu_s: float = Field(gt=0, le=10, description="CPU of a query in the ingress, without its messages.")
    message_cpu_s: float = Field(default=0.0, ge=0, le=1, description="CPU that a message costs.")
    hop_s: float = Field(default=0.0, ge=0, le=1, description="That a message and its answer are on their way.")
    max_wait_s: float = Field(default=0.01, ge=0, le=1, description="The coalescer's, see CoalescingConfig.")
    memory_gb: float = Field(default=0.5, gt=0, le=65_536, description="Of a replica.")

    def sharing(self, queries_per_s: float) -> float:
        """Queries of one message: those that come while the one before is on its way, see Coalescer."""
        wait_s = min(self.max_wait_s, self.hop_s) if self.hop_s else self.max_wait_s
        return 1 + queries_per_s * wait_s

    def as_batch(self, queries_per_s: float) -> BatchTimes:
        """One query after the other, each with its share of the messages to send, and one to the generator."""
        messages = len(COALESCED) / self.sharing(queries_per_s) + 1
        return BatchTimes(per_item_s=self.cpu_s + self.message_cpu_s * messages, memory_gb=self.memory_gb)


class Profile(YamlModel):
    """Times of every stage, by the class of hardware that they hold for."""

    note: str = Field(description="Where the times come from.")
    is_simulated: bool = Field(default=False, description="Times that nobody measured.")
    ingress: dict[str, IngressTimes] = Field(min_length=1)
    embed: dict[str, BatchTimes] = Field(min_length=1)
    dense: dict[str, BatchTimes] = Field(min_length=1)
    lexical: dict[str, BatchTimes] = Field(min_length=1)
    rerank: dict[str, BatchTimes] = Field(min_length=1)
    generate: dict[str, GenerationTimes | BatchTimes] = Field(min_length=1)

    def times(self, stage: StageName, queries_per_s: float) -> dict[str, BatchTimes]:
        """The stage's times by class. At so many queries a second, for calls that come together share messages."""
        if stage == "ingress":
            return {name: times.as_batch(queries_per_s) for name, times in self.ingress.items()}
        found: dict[str, GenerationTimes | BatchTimes] = getattr(self, stage)
        whole = {name: one.as_batch() if isinstance(one, GenerationTimes) else one for name, one in found.items()}
        return {name: self._with_messages(stage, name, one, queries_per_s) for name, one in whole.items()}

    def _with_messages(self, stage: StageName, name: str, times: BatchTimes, queries_per_s: float) -> BatchTimes:
        """On a CPU what it takes to receive a message is taken from the computation; a GPU computes meanwhile."""
        ingress = self.ingress.get(name)
        if ingress is None or times.gpus:
            return times
        sharing = ingress.sharing(queries_per_s) if stage in COALESCED else 1.0
        message_s = ingress.message_cpu_s if times.message_cpu_s is None else times.message_cpu_s
        return times.model_copy(update={"per_item_s": times.per_item_s + message_s / sharing})

    @property
    def hop_s(self) -> float:
        """The slowest class' way between two stages."""
        return max(times.hop_s for times in self.ingress.values())
