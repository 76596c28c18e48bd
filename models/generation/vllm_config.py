"""The configuration of a language model that vLLM serves, checked against the vLLM that is installed."""

from pydantic import Field, JsonValue, model_validator

from models.vllm.arguments import check_parsers
from models.vllm.engine import VllmEngineConfig


class VllmConfig(VllmEngineConfig):
    """An entry of kind `vllm`."""

    source: str = Field(min_length=1, description="A local folder, or a model hub id such as owner/model.")
    revision: str | None = Field(default=None, description="Commit, tag or branch on the hub. None: its main.")
    max_model_len: int = Field(ge=64, description="Tokens of prompt and answer together; sizes the KV cache.")
    max_tokens: int = Field(default=1024, ge=1, description="Most tokens of one answer: more are asked for in vain.")
    temperature: float | None = Field(
        default=0.0,
        ge=0,
        le=2,
        description="Of answers from documents, where the request says nothing. None: the checkpoint's own.",
    )
    chat_template_options: dict[str, JsonValue] = Field(
        default={"enable_thinking": False},
        description="Variables of the checkpoint's chat template. Qwen3 would think aloud unless told not to.",
    )
    adapters: dict[str, str] = Field(
        default_factory=dict,
        description="LoRA adapters: the name that requests give as `model`, and a local folder or a hub id.",
    )
    tool_parser: str | None = Field(
        default=None,
        description="How the checkpoint writes tool calls, such as hermes. None: only forced ones are read.",
    )
    reasoning_parser: str | None = Field(
        default=None, description="How the checkpoint thinks aloud, such as qwen3: kept apart from what it answers."
    )
    stream_gather_s: float = Field(
        default=0.03,
        ge=0,
        le=1,
        description="A stream's messages after the first are at least so many seconds apart, and carry the tokens that "
        "came meanwhile. 0: a message a token, at a price in throughput. With tools it is always 0.",
    )
    cpu_kv_cache_gib: int = Field(default=4, ge=1, description="Memory of the KV cache where the engine runs on a CPU.")

    @model_validator(mode="after")
    def _leaves_room_for_a_prompt(self) -> "VllmConfig":
        if self.max_tokens >= self.max_model_len:
            raise ValueError(f"max_tokens must be less than max_model_len, which is {self.max_model_len}")
        return self

    @model_validator(mode="after")
    def _parsers_exist(self) -> "VllmConfig":
        check_parsers(self.tool_parser, self.reasoning_parser)
        return self
