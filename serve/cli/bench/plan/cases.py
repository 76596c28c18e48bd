"""The cases of `ragserve bench plan`: profiles with invented times, each with another stage as the bottleneck."""

from dataclasses import dataclass
from pathlib import Path

import serve.cli.capacity
from serve.cli.capacity.hardware import Hardware, NodeClass
from serve.cli.capacity.plan import Plan, Target
from serve.cli.capacity.profile import BatchTimes, GenerationTimes, Growth, IngressTimes, Profile
from serve.cli.capacity.solve import solve

NODES = "nodes"
PROFILES = Path(serve.cli.capacity.__file__).with_name("profiles")
# Many cores: replicas that sleep need none.
HARDWARE = Hardware(classes={NODES: NodeClass(cpus=16, memory_gb=64, price_per_hour=1.0, max_nodes=4)})
CHUNKS = 100_000


@dataclass(frozen=True)
class Case:
    """A profile and a target; `expected` is the stage that should be the bottleneck."""

    expected: str
    profile: Profile
    target: Target

    def plan(self) -> Plan:
        return solve(self.profile, self.target, HARDWARE)


def _profile(
    embed: BatchTimes | None = None,
    dense: BatchTimes | None = None,
    lexical: BatchTimes | None = None,
    rerank: BatchTimes | None = None,
    generate: GenerationTimes | None = None,
) -> Profile:
    """Quick stages, except for the arguments."""
    quick = BatchTimes(fixed_s=0.02, per_item_s=0.002, max_batch=16)
    engine = GenerationTimes(prefill_s=0.001, step_s=0.01, step_item_s=0.0001, tokens=20, max_requests=32)
    return Profile(
        note="Simulated.",
        is_simulated=True,
        ingress={NODES: IngressTimes(cpu_s=0.001, hop_s=0.003)},
        embed={NODES: embed or quick},
        dense={NODES: dense or quick},
        lexical={NODES: lexical or quick},
        rerank={NODES: rerank or quick},
        generate={NODES: generate or engine},
    )


def cases() -> list[Case]:
    """One case a bottleneck. The searches are sharded: half of their index fits on a node."""
    growth = Growth(kind="linear", at_chunks=CHUNKS // 2, per_item_s=0.03)
    sharded = BatchTimes(fixed_s=0.03, per_item_s=0.001, max_batch=8, growth=growth, bytes_per_chunk=64e9 / CHUNKS)
    engine = GenerationTimes(prefill_s=0.02, step_s=0.03, step_item_s=0.001, tokens=20, max_requests=8)
    slow = BatchTimes(fixed_s=0.02, per_item_s=0.06, max_batch=4)
    profiles = {
        "embed": (_profile(embed=BatchTimes(fixed_s=0.04, per_item_s=0.03, max_batch=8)), 36.0),
        "dense": (_profile(dense=sharded), 20.0),
        "lexical": (_profile(lexical=sharded), 20.0),
        "rerank": (_profile(rerank=slow), 24.0),
        "generate": (_profile(generate=engine), 12.0),
    }
    return [
        Case(stage, profile, Target(queries_per_s=per_s, latency_s=10.0, chunks=CHUNKS))
        for stage, (profile, per_s) in profiles.items()
    ]


def paper_plan() -> Plan:
    """1,000 queries a second over 10 million chunks, on rented GPUs with times that were never measured."""
    profile, hardware = Profile.read(PROFILES / "gpus.yaml"), Hardware.read(PROFILES / "gpu_hardware.yaml")
    return solve(profile, Target(queries_per_s=1_000, latency_s=5.0, chunks=10_000_000), hardware)
