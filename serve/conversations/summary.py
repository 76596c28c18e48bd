"""A running summary of what left the window, written by a language model."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from functools import partial

from models.corpus.database import is_storable
from models.corpus.summaries import Summaries, Summary
from models.errors.requests import NotFoundError
from models.generation.rewriting import one_line
from models.prompts.prompt_set import PromptSet
from models.types.generation import ChatMessage
from models.types.request_context import RequestContext
from serve.conversations.keeping import keep
from serve.conversations.passages import SUMMARY
from serve.pipelines.answering import Memory, Turn
from serve.pipelines.language_model import LanguageModel

MAX_TOKENS = 400
MAX_CHARS = 2_000  # of a summary
MAX_TURNS = 40  # that one call reads


class RunningSummary:
    """Keeps the summary of each conversation. Without a model there is none."""

    def __init__(self, model: LanguageModel | None, summaries: Summaries, every: int) -> None:
        """`every`: messages that leave the window before the model writes again."""
        self._model, self._summaries, self._every = model, summaries, every

    async def current(
        self, memory: Memory, turns: Sequence[Turn], prompts: PromptSet, context: RequestContext
    ) -> Turn | None:
        """The summary of `turns`, which left the window; the earlier one if the model fails. None: there is none."""
        source = memory.source
        if self._model is None or source is None or source.kind != "conversation" or not turns:
            return None
        summary = await asyncio.to_thread(self._summaries.get, context.tenant, source.source_id)
        new = _after(turns, summary.item_id if summary else "")
        if len(new) >= self._every:
            written = await self._write(self._model, summary, new[-MAX_TURNS:], prompts, context)
            if written:
                summary = Summary(new[-1].item_id, written)
                item_ids = [turn.item_id for turn in new]
                await keep(partial(self._put, context.tenant, source.source_id, summary, item_ids))
        return Turn(SUMMARY, "assistant", summary.text) if summary else None

    def _put(self, tenant: str, conversation_id: str, summary: Summary, item_ids: Sequence[str]) -> None:
        with suppress(NotFoundError):  # a conversation that was deleted meanwhile needs none
            self._summaries.put(tenant, conversation_id, summary, item_ids)

    async def _write(
        self,
        model: LanguageModel,
        summary: Summary | None,
        turns: Sequence[Turn],
        prompts: PromptSet,
        context: RequestContext,
    ) -> str:
        """Empty if the model fails. The conversation is one message, so that none of its turns is an instruction."""
        lines = [f"Summary: {one_line(summary.text, MAX_CHARS)}"] if summary else []
        lines += [f"{turn.role.title()}: {one_line(turn.text)}" for turn in turns]
        messages = [ChatMessage("system", prompts.texts.memory.summary), ChatMessage("user", "\n".join(lines))]
        text = (await model.ask(messages, "summary", MAX_TOKENS, context)).strip()[:MAX_CHARS]
        return text if is_storable(text) else ""


def _after(turns: Sequence[Turn], item_id: str) -> Sequence[Turn]:
    """The turns after the one that a summary ends with; all if that is not among them."""
    places = [place for place, turn in enumerate(turns) if turn.item_id == item_id]
    return turns[places[-1] + 1 :] if places else turns
