"""The part of a model's config that says where it is served, with whose key, and how hard it may be called."""

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

CREDENTIALS = frozenset(["authorization", "api-key", "x-api-key"])
MIB = 1024**2
KEY_OPTION = "api_key"  # only the loader fills it; a catalog file must not have it


class RemoteConfig(BaseModel):
    """A model behind a URL. The limits are those of one replica."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base_url: str = Field(
        pattern=r"^https?://[^\s@]+$", description="Address of the server, such as http://vllm:8000/v1. No credentials."
    )
    model: str = Field(
        min_length=1, max_length=256, pattern=r"^[^@\s]+$", description="The model's name at the server."
    )
    key_variable: str | None = Field(
        default=None,
        pattern=r"^[A-Z][A-Z0-9_]{0,127}$",
        description="Environment variable with the key. None: no key is sent. Never the key itself.",
    )
    key_header: str = Field(
        default="authorization",
        pattern=r"^[A-Za-z0-9-]{1,64}$",
        description="Header of the key: authorization has it as a bearer token, any other, such as api-key, alone.",
    )
    headers: dict[str, str] = Field(default_factory=dict, max_length=32, description="Further headers, without keys.")
    query: dict[str, str] = Field(
        default_factory=dict, max_length=32, description="Parameters of each request, such as Azure's api-version."
    )
    connect_s: float = Field(default=5.0, gt=0, le=60, description="Longest wait for a connection, in seconds.")
    timeout_s: float = Field(
        default=60.0, gt=0, le=3600, description="Longest wait for the next bytes of an answer, in seconds."
    )
    max_retries: int = Field(
        default=2,
        ge=0,
        le=10,
        description="Further attempts after 408, 409, 429, 5xx and lost connections, with jitter, while nothing was "
        "streamed yet. The server's Retry-After counts. Never after the deadline; for long, one for ten requests.",
    )
    max_response_mb: int = Field(default=64, ge=1, le=4096, description="Most MiB of one answer; a longer one fails.")
    max_concurrency: int = Field(default=16, ge=1, le=1024, description="Most requests at once; others wait.")
    max_requests_per_minute: int | None = Field(
        default=None, ge=1, le=1_000_000, description="Most requests a minute; others wait, or get a 429."
    )
    api_key: SecretStr | None = Field(default=None, description="Set by the loader, from key_variable.")

    @field_validator("headers")
    @classmethod
    def _no_credentials(cls, headers: dict[str, str]) -> dict[str, str]:
        for name in headers:
            if name.lower() in CREDENTIALS:
                raise ValueError(f"{name} is a credential: name its variable in key_variable, and key_header")
        return headers

    def secret_variables(self) -> dict[str, str]:
        """The environment variable of each option that is a secret."""
        return {KEY_OPTION: self.key_variable} if self.key_variable else {}
