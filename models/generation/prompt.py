"""The prompt of a language model: instructions, numbered passages, then the conversation. Its texts: models/prompts."""

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from models.answer_form import AnswerForm, AnswerPrompt
from models.errors.requests import InvalidRequestError
from models.generation.conversation import CONVERSATION_SHARE, CountTokens, shorten
from models.generation.markers import escape_markers
from models.prompts.library import default_prompts
from models.types.chunks import Passage
from models.types.generation import ChatMessage, GenerationRequest

Numbered = Mapping[int, Passage]  # by the number that an answer cites: the place in the request, from 1


def prompt_of(request: GenerationRequest) -> AnswerPrompt:
    """The request's texts; those of the default set if it names none."""
    return request.prompt or default_prompts().for_answer(AnswerForm(), request.question)


def build_messages(request: GenerationRequest, passages: Numbered) -> list[ChatMessage]:
    """One system message (instructions, passages, then the caller's, which matter most), then the conversation.

    Text that changes least is first: an engine's prefix cache has the instructions for every request, and the passages
    for requests that begin with the same ones. Text that depends on the question follows. There is one system message
    because many chat templates refuse a second one.
    """
    prompt = prompt_of(request)
    callers = [message.content for message in request.messages if message.role == "system"]
    blocks = [] if request.step and request.step.kind == "combine" else [_blocks(prompt, passages)]
    relevance = _relevance(prompt, request, passages)
    functions = [prompt.functions] if request.functions and prompt.functions else []
    parts = [prompt.instructions, *functions, *blocks, *callers, *relevance, *_step(prompt, request)]
    system = "\n\n".join(parts)
    turns = [message for message in request.messages if message.role != "system"]
    return [ChatMessage("system", system), *_examples(prompt), *turns]


def number_passages(request: GenerationRequest, num_best: int | None = None) -> dict[int, Passage]:
    """The `num_best` most relevant passages, or all, in the request's order."""
    best = frozenset(request.best_first[:num_best])
    return {place + 1: passage for place, passage in enumerate(request.passages) if place in best}


def fit_conversation(request: GenerationRequest, count_tokens: CountTokens, budget: int) -> GenerationRequest:
    """The request without the oldest turns, as far as its conversation takes more than half of `budget` tokens.

    A short conversation is not counted: the passages give way first. Raises InvalidRequestError for a conversation that
    must stay whole.
    """
    if len(request.messages) == 1 or count_tokens(build_messages(request, number_passages(request))) <= budget:
        return request

    def count(messages: Sequence[ChatMessage]) -> int:
        return count_tokens(build_messages(replace(request, messages=tuple(messages)), {}))

    share = int(CONVERSATION_SHARE * budget)
    if request.is_whole and count(request.messages) > share:
        message = f"the conversation takes over {share} tokens; shorten it, or send `truncation: auto`"
        raise InvalidRequestError(message, "messages")
    return replace(request, messages=shorten(request.messages, count, share, prompt_of(request).earlier))


def fit_drafts(request: GenerationRequest, count_tokens: CountTokens, budget: int) -> GenerationRequest:
    """The request with each draft cut to the same size, as far as the drafts take more than half of `budget` tokens."""
    step = request.step
    if step is None or not step.drafts:
        return request

    def cut(size: int) -> GenerationRequest:
        drafts = tuple(draft[:size] for draft in step.drafts)
        return replace(request, step=replace(step, drafts=drafts))

    def is_too_long(size: int) -> bool:
        return count_tokens(build_messages(cut(size), {})) > share

    share, longest = int(CONVERSATION_SHARE * budget), max(map(len, step.drafts))
    if not is_too_long(longest):
        return request
    return cut(max(0, bisect_left(range(longest), True, key=is_too_long) - 1))


def fit_passages(request: GenerationRequest, count_tokens: CountTokens, budget: int) -> dict[int, Passage]:
    """The most relevant passages whose prompt has at most `budget` tokens; a single passage is truncated if needed.

    They keep their order and their numbers. `count_tokens` counts a prompt's tokens with the model's own template and
    tokenizer. It is called once if all passages fit, else about log2(number of passages) times. Raises
    InvalidRequestError if the conversation leaves no room for a passage.
    """

    def is_too_long(passages: Numbered) -> bool:
        return count_tokens(build_messages(request, passages)) > budget

    everything = number_passages(request)
    if not is_too_long(everything):
        return everything
    sizes = range(len(everything))
    first_bad = bisect_left(sizes, True, key=lambda num_best: is_too_long(number_passages(request, num_best)))
    if first_bad > 1:
        return number_passages(request, first_bad - 1)
    size = 0
    if first_bad == 1:
        [(number, best)] = number_passages(request, 1).items()
        cuts = range(len(best.text))
        size = bisect_left(cuts, True, key=lambda chars: is_too_long({number: _cut(best, chars)})) - 1
    if size < 1:
        has_tools = request.functions is not None and bool(request.functions.tools)
        subject = "the conversation with its functions" if has_tools else "the conversation"
        message = f"{subject} is too long: the prompt may have at most {budget} tokens; shorten it"
        raise InvalidRequestError(message, "messages")
    return {number: _cut(best, size)}


def _blocks(prompt: AnswerPrompt, passages: Numbered) -> str:
    blocks = [f"[{number}] {_origin(passage)}\n{escape_markers(passage.text)}" for number, passage in passages.items()]
    return "\n\n".join([prompt.passages, *blocks]) if blocks else prompt.no_passages


def _relevance(prompt: AnswerPrompt, request: GenerationRequest, passages: Numbered) -> list[str]:
    """A line that ranks two or more passages, as their order in the prompt may differ from their relevance."""
    numbers = [f"[{place + 1}]" for place in request.best_first if place + 1 in passages]
    return [prompt.relevance.format(numbers=", ".join(numbers))] if len(numbers) > 1 else []


def _step(prompt: AnswerPrompt, request: GenerationRequest) -> list[str]:
    """What a step of several is told as well. Drafts are text of the model: their braces are no placeholders."""
    if request.step is None or request.step.kind == "first":
        return []
    drafts = "\n\n".join(request.step.drafts)
    match request.step.kind:
        case "refine":
            return [prompt.refine.format(draft=drafts)]
        case "combine":
            return [prompt.combine.format(drafts=drafts)]
    return [prompt.summarize]


def _examples(prompt: AnswerPrompt) -> Iterator[ChatMessage]:
    for example in prompt.examples:
        yield ChatMessage("user", example.user)
        yield ChatMessage("assistant", example.assistant)


def _origin(passage: Passage) -> str:
    """Where the passage is from, in one line: the name of a file cannot add lines or numbers to a prompt."""
    origin = f"{passage.filename} — {passage.context}" if passage.context else passage.filename
    printable = "".join(character if character.isprintable() else " " for character in origin)
    return escape_markers(" ".join(printable.split()))


def _cut(passage: Passage, size: int) -> Passage:
    """The first `size` characters of `passage`."""
    return replace(passage, text=passage.text[:size], end=passage.start + size)
