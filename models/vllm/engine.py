"""What every vLLM engine of ours is configured with, whether it writes or encodes."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue, field_validator

from models.vllm.arguments import check_engine_arguments


class VllmEngineConfig(BaseModel):
    """The part of an entry of kind `vllm` that its engine reads."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    engine_kwargs: dict[str, JsonValue] = Field(
        default_factory=dict, description="Further arguments of vLLM's engine, such as max_num_seqs."
    )
    cpu_kv_cache_gib: int = Field(default=1, ge=1, description="Memory of the KV cache where the engine runs on a CPU.")
    cpu_threads: int | None = Field(default=None, ge=1, description="OpenMP threads on a CPU. None: as it finds them.")

    @field_validator("engine_kwargs")
    @classmethod
    def _are_possible(cls, given: dict[str, JsonValue]) -> dict[str, JsonValue]:
        check_engine_arguments(given)
        return given

    def environment(self) -> dict[str, str]:
        """Environment variables that vLLM reads when it is imported; set before the model is built."""
        return cpu_engine_environment(self.cpu_kv_cache_gib, self.cpu_threads)


def on_this_platform() -> dict[str, Any]:
    """Arguments for a CPU, none elsewhere: no compilation, which takes minutes, and bfloat16. Imports vLLM."""
    from vllm.platforms import current_platform

    return {"enforce_eager": True, "dtype": "bfloat16"} if current_platform.is_cpu() else {}


def cpu_engine_environment(kv_cache_gib: int, num_threads: int | None) -> dict[str, str]:
    """What vLLM reads from the environment on a CPU; to be set before it is imported. A GPU engine ignores it.

    Threads are not bound to cores, for vLLM's own binding takes all of the machine's, whatever share is ours.
    """
    threads = {} if num_threads is None else {"OMP_NUM_THREADS": str(num_threads)}
    return {
        "VLLM_CPU_KVCACHE_SPACE": str(kv_cache_gib),
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_DO_NOT_TRACK": "1",
        **threads,
    }
