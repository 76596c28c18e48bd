"""vLLM as an encoder: its pooling models, called with token ids. For GPUs and large models."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import Field, JsonValue

from models.embedding.tokenizing import EncoderTokenizer
from models.encoding import Encoding
from models.errors import ModelLoadError
from models.source import SourceConfig, describe_attempts, fetch_folder, resolve_source
from models.types import FloatArray
from models.vllm.engine import VllmEngineConfig, on_this_platform

if TYPE_CHECKING:
    from vllm import LLM

PoolingTask = Literal["embed", "classify"]


class VllmPoolingConfig(SourceConfig, VllmEngineConfig):
    """What entries of kind `vllm` have in common; `device` is vLLM's own choice, made when it was installed."""

    max_tokens: int = Field(ge=8, le=131_072, description="Tokens of an input that count, special tokens included.")
    gpu_memory_utilization: float = Field(
        default=0.25, gt=0, le=1, description="Share of the GPU's memory that the engine takes, weights included."
    )
    hf_overrides: dict[str, JsonValue] = Field(
        default_factory=dict, description="What vLLM is to read differently in the checkpoint's config.json."
    )


class VllmPooling:
    """One engine, in a child process that ends with this object. Takes a batch at a time, from one thread."""

    def __init__(self, name: str, config: VllmPoolingConfig, task: PoolingTask) -> None:
        """Starts the engine: half a minute to minutes. Raises ModelLoadError."""
        self._task = task
        source = resolve_source(name, config)
        try:
            self._engine = _start(config, source.location, source.revision)
        except (ImportError, OSError, RuntimeError, TypeError, ValueError) as error:
            raise ModelLoadError(name, f"tried {describe_attempts(config, source)} with vLLM: {error}") from error
        if task not in self._engine.supported_tasks:
            raise ModelLoadError(name, f"vLLM can use it to {', '.join(self._engine.supported_tasks)}, not to {task}")

    def run(self, batch: Sequence[Encoding], use_activation: bool) -> FloatArray:
        """The pooler's outputs (len(batch), dim) float32: vectors, or logits with one column a label.

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


def load_pooling_tokenizer(name: str, config: VllmPoolingConfig) -> EncoderTokenizer:
    """The model's tokenizer, without vLLM's own work around it. Raises ModelLoadError."""
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
    """Where the second text begins: all that a BERT in vLLM wants to know of type ids."""
    if encoding.type_ids is None or not encoding.type_ids.any():
        return None
    return {"compressed_token_type_ids": int(encoding.type_ids.argmax())}
