"""A profile with numbers that are easy to check by hand."""

from serve.cli.capacity.hardware import Hardware, NodeClass
from serve.cli.capacity.profile import BatchTimes, GenerationTimes, Growth, IngressTimes, Profile

CPU, GPU = "cpu", "gpu"
HARDWARE = Hardware(
    classes={
        CPU: NodeClass(cpus=8, memory_gb=32, price_per_hour=1.0, max_nodes=50),
        GPU: NodeClass(cpus=8, memory_gb=64, gpus=1, price_per_hour=4.0, max_nodes=50),
    }
)


def profile(**changed: object) -> Profile:
    """Embedding and reranking on both classes, searches on CPUs, generation on GPUs."""
    stages: dict[str, object] = {
        "ingress": {CPU: IngressTimes(cpu_s=0.004, hop_s=0.001)},
        "embed": {
            CPU: BatchTimes(fixed_s=0.01, per_item_s=0.01, max_batch=16, tokens_per_item=12),
            GPU: BatchTimes(fixed_s=0.005, per_item_s=0.0005, max_batch=64, gpus=0.25, tokens_per_item=12),
        },
        "dense": {
            CPU: BatchTimes(
                fixed_s=0.001,
                per_item_s=0.001,
                max_batch=32,
                growth=Growth(kind="linear", at_chunks=100_000, per_item_s=0.004),
                bytes_per_chunk=2_000,
            )
        },
        "lexical": {CPU: BatchTimes(fixed_s=0.001, per_item_s=0.002, max_batch=32)},
        "rerank": {
            CPU: BatchTimes(per_item_s=0.2, max_batch=4, tokens_per_item=3_600),
            GPU: BatchTimes(fixed_s=0.01, per_item_s=0.01, max_batch=8, gpus=0.5, tokens_per_item=3_600),
        },
        "generate": {
            GPU: GenerationTimes(
                prefill_s=0.02, step_s=0.01, step_item_s=0.0001, tokens=100, max_requests=32, gpus=1.0, memory_gb=16
            )
        },
    }
    return Profile.model_validate({"note": "invented", "is_simulated": True} | stages | changed)
