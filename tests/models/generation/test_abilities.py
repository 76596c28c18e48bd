from typing import Any

import pytest

from models.errors.requests import InvalidRequestError
from models.generation.abilities import check_plain_request, unsupported_options, without_unsupported
from models.types.generation import ChatMessage, SamplingOptions

USER = (ChatMessage("user", "Why?"),)


@pytest.mark.parametrize(
    ("sampling", "param"),
    [
        (SamplingOptions(temperature=0.7), "temperature"),
        (SamplingOptions(top_p=0.9), "top_p"),
        (SamplingOptions(stop=("\n",)), "stop"),
        (SamplingOptions(response_schema={"type": "object"}), "response_format"),
    ],
)
def test_what_quoting_cannot_follow_is_named(sampling: SamplingOptions, param: str) -> None:
    assert list(unsupported_options(USER, sampling)) == [param]
    assert unsupported_options(*without_unsupported(USER, sampling)) == {}


def test_a_system_message_is_named_and_options_without_effect_are_not() -> None:
    neutral = SamplingOptions(max_tokens=9, temperature=1.0, top_p=1.0, seed=4)

    assert unsupported_options(USER, neutral) == {}
    assert list(unsupported_options((ChatMessage("system", "Rhyme."), *USER), neutral)) == ["messages"]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"tools": [{"type": "function"}]}, "tools"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"n": 2}, "n"),
        ({"logprobs": True}, "logprobs"),
    ],
)
def test_a_plain_request_for_more_than_text_is_refused_unless_it_says_ignore(body: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        check_plain_request("extractive", body)

    assert refused.value.param == param
    check_plain_request("extractive", body | {"extra": "ignore"})


def test_a_plain_request_may_sample() -> None:
    check_plain_request("extractive", {"temperature": 0.1, "response_format": {"type": "text"}, "n": 1})
