"""Configuration of a language model that vLLM serves, checked against the installed vLLM."""

from pydantic import Field, JsonValue, model_validator

from models.source import PACKAGE_NAME
from models.vllm.arguments import check_parsers
from models.vllm.engine import VllmEngineConfig


class VllmConfig(VllmEngineConfig):
    """An entry of kind `vllm`."""

    source: str = Field(min_length=1, description="A local folder, or a model hub id such as owner/model.")
    revision: str | None = Field(default=None, description="Commit, tag or branch on the hub. None: its main.")
    package: str | None = Field(
        default=None,
        pattern=PACKAGE_NAME,
        description="A Python package with the same weights in a GGUF file. If it is installed, no hub is needed.",
    )
    converted: str = Field(
        default="~/.cache/ragserve",
        min_length=1,
        description="Folder that keeps the package's weights as vLLM reads them, converted once.",
    )
    max_model_len: int = Field(ge=64, description="Tokens of prompt and answer together; sizes the KV cache.")
    max_tokens: int = Field(
        default=1024, ge=1, description="Most tokens of one answer; a request for more is reduced to it."
    )
    temperature: float | None = Field(
        default=0.0,
        ge=0,
        le=2,
        description="Default for answers from documents. None: the checkpoint's default.",
    )
    chat_template_options: dict[str, JsonValue] = Field(
        default={"enable_thinking": False},
        description="Variables of the checkpoint's chat template. The default turns off Qwen3's reasoning.",
    )
    adapters: dict[str, str] = Field(
        default_factory=dict,
        description="LoRA adapters: the `model` name in requests, mapped to a local folder or a hub id.",
    )
    tool_parser: str | None = Field(
        default=None,
        description="Format of the checkpoint's tool calls, such as hermes. None: only forced tool calls are parsed.",
    )
    reasoning_parser: str | None = Field(
        default=None, description="Format of the checkpoint's reasoning, such as qwen3, to separate it from the answer."
    )
    stream_gather_s: float = Field(
        default=0.03,
        ge=0,
        le=1,
        description="Least time between a stream's messages, in seconds; a message has all tokens of that time. 0: one "
        "message per token, which lowers throughput. Always 0 for requests with tools.",
    )
    cpu_kv_cache_gib: int = Field(default=4, ge=1, description="Memory of the KV cache on a CPU, in GiB.")

    @model_validator(mode="after")
    def _leaves_room_for_a_prompt(self) -> "VllmConfig":
        if self.max_tokens >= self.max_model_len:
            raise ValueError(f"max_tokens must be less than max_model_len, which is {self.max_model_len}")
        return self

    @model_validator(mode="after")
    def _parsers_exist(self) -> "VllmConfig":
        check_parsers(self.tool_parser, self.reasoning_parser)
        return self
