"""Passages and requests for the tests of generation."""

from models.types.chunks import Passage
from models.types.generation import ChatMessage, GenerationRequest, SamplingOptions

TOWER = "Construction began in 1887. The Eiffel Tower was completed in 1889. It is 330 metres tall."
RIVER = "The Seine flows through Paris. It reaches the sea at Le Havre."


def passage(text: str, start: int = 0, filename: str = "guide.txt", context: str = "") -> Passage:
    """A passage that begins at character `start` of its file."""
    key = sum(map(ord, text)) + start
    return Passage(key, f"chunk-{key}", "file-1", filename, text, start, start + len(text), context)


def asking(
    question: str, *passages: Passage, sampling: SamplingOptions | None = None, history: tuple[ChatMessage, ...] = ()
) -> GenerationRequest:
    """A request whose last message is `question`."""
    messages = (*history, ChatMessage("user", question))
    return GenerationRequest("request-1", messages, passages, sampling or SamplingOptions())
