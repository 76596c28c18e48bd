"""Sampling options as the fields of a chat completion."""

from typing import Any

from models.types.generation import SamplingOptions


def sampling_fields(sampling: SamplingOptions, temperature: float | None) -> dict[str, Any]:
    """The fields that are set, without the limit of tokens. `temperature` is the default."""
    options = {
        "temperature": temperature if sampling.temperature is None else sampling.temperature,
        "top_p": sampling.top_p,
        "stop": list(sampling.stop) or None,
        "seed": sampling.seed,
        "presence_penalty": sampling.presence_penalty,
        "frequency_penalty": sampling.frequency_penalty,
        "response_format": _response_format(sampling),
    }
    return {name: value for name, value in options.items() if value is not None}


def _response_format(sampling: SamplingOptions) -> dict[str, Any] | None:
    if sampling.response_schema is None:
        return None
    if sampling.response_schema == {"type": "object"}:
        return {"type": "json_object"}
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": sampling.response_schema}}
