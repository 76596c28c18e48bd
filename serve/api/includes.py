"""OpenAI's `include`: which parts of an item are shown."""

from typing import Annotated, Literal

from fastapi import Depends, Query

RESULTS = "file_search_call.results"
# Of data that no answer here has; asking for it changes nothing.
Include = Literal[
    "file_search_call.results",
    "web_search_call.results",
    "web_search_call.action.sources",
    "message.input_image.image_url",
    "computer_call_output.output.image_url",
    "code_interpreter_call.outputs",
    "reasoning.encrypted_content",
    "message.output_text.logprobs",
]


async def _includes(
    include: Annotated[list[Include], Query()] = [],  # noqa: B006 FastAPI copies it
    bracketed: Annotated[list[Include], Query(alias="include[]")] = [],  # noqa: B006 as OpenAI's clients write it
) -> bool:
    """Whether searches are shown with their results."""
    return RESULTS in (*include, *bracketed)


IncludesDep = Annotated[bool, Depends(_includes)]
