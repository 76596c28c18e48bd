"""A conversation cut to fit a prompt: the last turns as they are, the user's earlier questions in one message."""

from collections.abc import Callable, Sequence

from models.types.generation import ChatMessage

# The passages have the other half of the prompt.
CONVERSATION_SHARE = 0.5
MAX_EARLIER_QUESTIONS = 8
MAX_QUESTION_CHARS = 160

CountTokens = Callable[[Sequence[ChatMessage]], int]


def shorten(
    messages: Sequence[ChatMessage], count_tokens: CountTokens, budget: int, earlier: str
) -> tuple[ChatMessage, ...]:
    """Leave out as few of the oldest turns as `budget` tokens require, but never system messages or the question.

    The questions of the turns that are left out become one system message after the line `earlier`, each cut to its
    beginning.
    """
    cuts = _cuts([message for message in messages if message.role != "system"])
    first, last = 0, len(cuts) - 1
    while first < last:  # bisect: counting tokens takes time
        middle = (first + last) // 2
        if count_tokens(_without(messages, cuts[middle], earlier)) <= budget:
            last = middle
        else:
            first = middle + 1
    return _without(messages, cuts[first], earlier)


def _cuts(turns: Sequence[ChatMessage]) -> list[int]:
    """How many of the first turns may be left out: no result without its call, and never the question."""
    question = max((place for place, turn in enumerate(turns) if turn.role == "user"), default=len(turns) - 1)
    return [place for place in range(question + 1) if turns[place].role != "tool"]


def _without(messages: Sequence[ChatMessage], num_turns: int, earlier: str) -> tuple[ChatMessage, ...]:
    """The messages without the first `num_turns` of the user and the assistant."""
    if num_turns <= 0:
        return tuple(messages)
    turns = [message for message in messages if message.role != "system"]
    questions = [_beginning(turn.content) for turn in turns[:num_turns] if turn.role == "user"]
    system = [message for message in messages if message.role == "system"]
    if questions:
        lines = [earlier, *(f"- {question}" for question in questions[-MAX_EARLIER_QUESTIONS:])]
        system.append(ChatMessage("system", "\n".join(lines)))
    return (*system, *turns[num_turns:])


def _beginning(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= MAX_QUESTION_CHARS else f"{line[:MAX_QUESTION_CHARS]}…"
