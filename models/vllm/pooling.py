"""vLLM as an encoder: pooling models that take token ids. For GPUs and large models."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field, JsonValue

from models.errors.model_failures import ModelLoadError
from models.source import SourceConfig, describe_attempts, fetch_folder, resolve_source
from models.tokens.encoder_tokenizer import EncoderTokenizer
from models.tokens.encoding import Encoding
from models.types.arrays import FloatArray
from models.vllm.engine import VllmEngineConfig, on_this_platform

if TYPE_CHECKING:
    from vllm import LLM

PoolingTask = Literal["embed", "classify"]


class VllmPoolingConfig(SourceConfig, VllmEngineConfig):
    """Options of embedding and reranking entries of kind `vllm`. `device` has no effect: vLLM is built for one."""

    max_tokens: int = Field(ge=8, le=131_072, description="Most tokens of an input, special tokens included.")
    gpu_memory_utilization: float = Field(
        default=0.25, gt=0, le=1, description="Fraction of the GPU's memory for the engine, weights included."
    )
    hf_overrides: dict[str, JsonValue] = Field(
        default_factory=dict, description="Values that replace those of the checkpoint's config.json."
    )


class VllmPooling:
    """One engine, in a child process that ends with this object. Call it from one thread, a batch at a time."""

    def __init__(self, name: str, config: VllmPoolingConfig, task: PoolingTask) -> None:
        """Starts the engine: half a minute to minutes. Raises ModelLoadError."""
        self._task = task
        source = resolve_source(name, config)
        try:
            self._engine = _start(config, source.location, source.revision)
        except (ImportError, OSError, RuntimeError, TypeError, ValueError) as error:
            raise ModelLoadError(name, f"tried {describe_attempts(config, source)} with vLLM: {error}") from error
        if task not in self._engine.supported_tasks:
            raise ModelLoadError(
                name, f"vLLM supports {', '.join(self._engine.supported_tasks)} for this checkpoint, not {task}"
            )

    def run(self, batch: Sequence[Encoding], use_activation: bool) -> FloatArray:
        """The pooler's outputs (len(batch), dim) float32: vectors, or logits with one column per label.

        `use_activation` scales vectors to unit length, and logits to probabilities.
        """
        from vllm import PoolingParams

        outputs = self._engine.encode(
            [{"prompt_token_ids": encoding.ids.tolist()} for encoding in batch],
            [
                PoolingParams(task=self._task, use_activation=use_activation, extra_kwargs=_types(encoding))
                for encoding in batch
            ],
            pooling_task=self._task,
            use_tqdm=False,
        )
        return np.stack([output.outputs.data.float().reshape(-1).numpy() for output in outputs])

    def close(self) -> None:
        """End the child process now. An interpreter that exits without clean-up would leave it behind."""
        self._engine.llm_engine.engine_core.shutdown()


def load_pooling_tokenizer(name: str, config: VllmPoolingConfig) -> EncoderTokenizer:
    """The model's tokenizer, used without vLLM's own preprocessing. Raises ModelLoadError."""
    from tokenizers import Tokenizer

    path = fetch_folder(name, config, ["tokenizer.json"]) / "tokenizer.json"
    if not path.is_file():
        raise ModelLoadError(name, "its folder has no tokenizer.json")
    return EncoderTokenizer(Tokenizer.from_file(str(path)), config.max_tokens)


def _start(config: VllmPoolingConfig, location: str, revision: str | None) -> "LLM":
    from vllm import LLM

    chosen = {} if config.dtype == "auto" else {"dtype": config.dtype}
    return LLM(
        model=location,
        revision=revision,
        runner="pooling",
        max_model_len=config.max_tokens,
        gpu_memory_utilization=config.gpu_memory_utilization,
        hf_overrides=config.hf_overrides,
        **{**on_this_platform(), **chosen, **config.engine_kwargs},
    )


def _types(encoding: Encoding) -> dict[str, Any] | None:
    """The position of the second text, which is the form of type ids that vLLM takes for BERT."""
    if encoding.type_ids is None or not encoding.type_ids.any():
        return None
    return {"compressed_token_type_ids": int(encoding.type_ids.argmax())}
