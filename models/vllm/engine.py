"""Configuration that all vLLM engines share, for generation and for pooling."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue, field_validator

from models.compute import torch_gains_by_bfloat16
from models.vllm.arguments import check_engine_arguments

TRACES_PROTOCOL = "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"  # vLLM's default is gRPC


class VllmEngineConfig(BaseModel):
    """The part of an entry of kind `vllm` that configures its engine."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    engine_kwargs: dict[str, JsonValue] = Field(
        default_factory=dict, description="Further arguments of vLLM's engine, such as max_num_seqs."
    )
    cpu_kv_cache_gib: int = Field(default=1, ge=1, description="Memory of the KV cache on a CPU, in GiB.")
    cpu_threads: int | None = Field(
        default=None, ge=1, description="OpenMP threads on a CPU. None: as in the environment."
    )

    @field_validator("engine_kwargs")
    @classmethod
    def _check_engine_kwargs(cls, arguments: dict[str, JsonValue]) -> dict[str, JsonValue]:
        check_engine_arguments(arguments)
        return arguments

    @property
    def traces_endpoint(self) -> str | None:
        """Where the engine exports its spans, such as http://collector:4318/v1/traces; None: nowhere."""
        endpoint = self.engine_kwargs.get("otlp_traces_endpoint")
        return str(endpoint) if endpoint else None

    def environment(self) -> dict[str, str]:
        """Environment variables that vLLM reads when it is imported; set them before the model is built."""
        protocol = {TRACES_PROTOCOL: "http/protobuf"} if (self.traces_endpoint or "").endswith("/v1/traces") else {}
        return {**cpu_engine_environment(self.cpu_kv_cache_gib, self.cpu_threads), **protocol}


def on_this_platform() -> dict[str, Any]:
    """Arguments for a CPU: the faster dtype, and no compilation, which takes minutes. None on a GPU. Imports vLLM."""
    from vllm.platforms import current_platform

    if not current_platform.is_cpu():
        return {}
    return {"enforce_eager": True, "dtype": "bfloat16" if torch_gains_by_bfloat16() else "float32"}


def cpu_engine_environment(kv_cache_gib: int, num_threads: int | None) -> dict[str, str]:
    """Environment variables for vLLM on a CPU; set them before vLLM is imported. A GPU engine ignores them.

    Threads are not bound to cores: vLLM's own binding takes all cores of the machine, also those of other replicas.
    """
    threads = {} if num_threads is None else {"OMP_NUM_THREADS": str(num_threads)}
    return {
        "VLLM_CPU_KVCACHE_SPACE": str(kv_cache_gib),
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_DO_NOT_TRACK": "1",
        **threads,
    }
